//! The tables `[api]` and `[daemon]`.

use crate::config::raw::{At, RawConfig};
use crate::config::reader::{Reader, Table};

pub(super) fn api<'a>(reader: &mut Reader<'a>, root: Table<'a>, raw: &mut RawConfig) {
    if let Some(table) = reader.table(root, "api") {
        reader.deny_unknown(table);
        raw.api_group = reader.text(table, "group", "evenkeel").map(|word| At {
            value: word.text.to_owned(),
            span: word.span,
        });
    }
    if let Some(table) = reader.table(root, "daemon") {
        reader.deny_unknown(table);
        raw.watch = reader.boolean(table, "watch").map(|at| at.value);
    }
}
