//! The table `[metrics]`.

use super::word;
use crate::config::raw::RawConfig;
use crate::config::reader::{Reader, Table};
use crate::config::words;

pub(super) fn metrics<'a>(reader: &mut Reader<'a>, root: Table<'a>, raw: &mut RawConfig) {
    let Some(table) = reader.table(root, "metrics") else {
        return;
    };
    reader.deny_unknown(table);
    raw.metrics_listen = word(
        reader,
        table,
        "listen",
        "127.0.0.1:9464",
        words::socket_address,
    )
    .map(|at| at.value);
    raw.metrics_per_backend = reader.boolean(table, "per_backend").map(|at| at.value);
}
