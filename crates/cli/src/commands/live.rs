//! What commands to a running instance share.

use std::future::Future;
use std::io::Write;

use anyhow::Result;
use control::api;
use control::api::model::ServiceQuery;
use control::instance::default_name;
use control::status::{Reloaded, ServiceStatus};

use super::source::warn;
use crate::arguments::live::Of;
use crate::output::stdout;

/// The instance's name.
pub(super) fn name(of: &Of) -> String {
    of.instance.clone().unwrap_or_else(default_name)
}

/// Waits for an answer.
pub(super) fn wait<F: Future>(future: F) -> Result<F::Output> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    Ok(runtime.block_on(future))
}

/// Says what a change did.
pub(super) fn told(reloaded: &Reloaded) -> Result<()> {
    for warning in &reloaded.warnings {
        warn(warning);
    }
    writeln!(stdout(), "applied: {reloaded}")?;
    Ok(())
}

/// Every service of an instance, page by page.
pub(super) fn each_service(
    of: &Of,
    mut each: impl FnMut(&ServiceStatus) -> Result<()>,
) -> Result<()> {
    let name = name(of);
    let mut query = ServiceQuery::default();
    loop {
        let page = wait(api::fetch_services(&name, &query))??;
        page.services.iter().try_for_each(&mut each)?;
        match page.next {
            Some(next) => query.after = Some(next),
            None => return Ok(()),
        }
    }
}
