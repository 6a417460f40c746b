//! `evenkeel backend`.

use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use control::api::model::BackendPatch;
use control::api::{self, ApiError};
use control::config::{BackendName, service_name};
use control::overrides::{BackendSpec, StateWord};
use control::status::{BackendStatus, ServiceStatus};

use super::live::{each_service, name, told, wait};
use crate::arguments::live::{Backend, BackendCommand, Of, Which};
use crate::output::{stdout, tell};

/// Time between two looks at a backend that drains. It changes with the sweeps, every ten seconds.
const POLL: Duration = Duration::from_millis(500);

pub(crate) fn backend(arguments: Backend) -> Result<ExitCode> {
    match arguments.command {
        BackendCommand::Add {
            service,
            backend,
            weight,
            of,
        } => {
            let spec = BackendSpec {
                address: backend,
                weight,
                ..BackendSpec::default()
            };
            told(&wait(api::add_backend(&name(&of), &service, &spec))??)?;
        }
        BackendCommand::Remove(Which {
            service,
            backend,
            of,
        }) => told(&wait(api::remove_backend(&name(&of), &service, &backend))??)?,
        BackendCommand::Drain {
            which,
            wait: waits,
            timeout,
        } => {
            state(&which, StateWord::Drain)?;
            if waits {
                return drained(&which, timeout);
            }
        }
        BackendCommand::Undrain(which) => state(&which, StateWord::Up)?,
        BackendCommand::Weight {
            service,
            backend,
            weight,
            of,
        } => {
            let patch = BackendPatch {
                weight: Some(weight),
                state: None,
            };
            let which = (service.as_str(), backend.as_str());
            told(&wait(api::patch_backend(&name(&of), which, &patch))??)?;
        }
        BackendCommand::List { service, json, of } => list(service.as_deref(), json, &of)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn state(which: &Which, state: StateWord) -> Result<()> {
    let patch = BackendPatch {
        state: Some(state),
        weight: None,
    };
    let backend = (which.service.as_str(), which.backend.as_str());
    told(&wait(api::patch_backend(
        &name(&which.of),
        backend,
        &patch,
    ))??)
}

/// Waits until nothing is left of a backend that drains.
fn drained(which: &Which, patience: Option<Duration>) -> Result<ExitCode> {
    let (name, began) = (name(&which.of), Instant::now());
    let mut wanted = BackendName::parse(&which.backend)?;
    let mut last = None;
    loop {
        let service = match wait(api::fetch_service(&name, &which.service))? {
            Ok(service) => service,
            Err(ApiError::Refused(failure)) => bail!("{failure}"),
            Err(error) => return Err(error.into()),
        };
        let backend = match step(meant(&wanted, &service)) {
            Ok(backend) => backend,
            Err(ended) => {
                writeln!(stdout(), "{ended}, it can go")?;
                return Ok(ExitCode::SUCCESS);
            }
        };
        // With its port from now on, whatever becomes of it and of others of its address.
        wanted = BackendName::parse(&backend.address)?;
        if backend.state == "up" {
            bail!(
                "{} takes new flows again: somebody has undrained it",
                backend.address
            );
        }
        if patience.is_some_and(|patience| began.elapsed() >= patience) {
            tell(&format!(
                "error: {} still has {} after {} s; it drains on",
                backend.address,
                left(backend),
                began.elapsed().as_secs()
            ));
            return Ok(ExitCode::FAILURE);
        }
        if last != backend.flows {
            writeln!(stdout(), "{}: {}", backend.address, left(backend))?;
            last = backend.flows;
        }
        std::thread::sleep(POLL);
    }
}

/// The backend that still has to be waited for, or how the drain has ended.
fn step(found: Option<&BackendStatus>) -> Result<&BackendStatus, &'static str> {
    match found {
        // One that is down has lost what it had; it is not looked at any more.
        Some(backend) if backend.state == "down" => Err("down: no flow is left"),
        Some(backend) if !backend.drained => Ok(backend),
        _ => Err("drained: no flow is left"),
    }
}

/// The backend that a name means to the instance, too, which does not look at those that leave; or
/// one of these.
fn meant<'a>(wanted: &BackendName, service: &'a ServiceStatus) -> Option<&'a BackendStatus> {
    let port = service_name(&service.service).ok()?.port;
    let among = |leaving: bool| {
        let names = service.backends.iter().map(move |it| match &*it.state {
            "leaving" if !leaving => None,
            _ => BackendName::parse(&it.address).ok(),
        });
        wanted.choose(port, names)
    };
    service.backends.get(among(false).or_else(|| among(true))?)
}

fn left(backend: &BackendStatus) -> String {
    match (backend.flows, backend.flows_exact) {
        (None, _) => "no flows".into(),
        (Some(flows), true) => format!("flows left: {flows}"),
        (Some(flows), false) => format!("flows left that are known: {flows}"),
    }
}

/// The backends of one service, or of all.
fn list(service: Option<&str>, json: bool, of: &Of) -> Result<()> {
    let Some(service) = service else {
        return each_service(of, |service| {
            if json {
                writeln!(stdout(), "{}", serde_json::to_string(service)?)?;
                return Ok(());
            }
            writeln!(stdout(), "{}", service.service)?;
            write_backends(service)
        });
    };
    let service = wait(api::fetch_service(&name(of), service))??;
    if json {
        let backends = serde_json::to_string_pretty(&service.backends)?;
        writeln!(stdout(), "{backends}")?;
        return Ok(());
    }
    write_backends(&service)
}

fn write_backends(service: &ServiceStatus) -> Result<()> {
    writeln!(
        stdout(),
        "{:<32} {:<11} {:>6} {:>7} {:>9} {:>9}",
        "backend",
        "state",
        "weight",
        "share",
        "new flows",
        "flows"
    )?;
    for backend in &service.backends {
        let flows = match (backend.flows, backend.flows_exact) {
            (None, _) => "-".into(),
            (Some(flows), true) => flows.to_string(),
            (Some(flows), false) => format!("{flows}+"),
        };
        let state = match backend.drained {
            true => "drained",
            false => backend.state.as_str(),
        };
        writeln!(
            stdout(),
            "{:<32} {state:<11} {:>6} {:>5.1} % {:>9} {flows:>9}",
            backend.address,
            backend.weight,
            backend.share * 100.0,
            backend.new_flows,
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backend(address: &str, state: &str, drained: bool) -> BackendStatus {
        BackendStatus {
            address: address.into(),
            state: state.into(),
            drained,
            ..BackendStatus::default()
        }
    }

    #[test]
    fn the_backend_that_was_drained_is_the_one_that_is_waited_for() {
        let service = ServiceStatus {
            service: "tcp://10.0.0.10:80".into(),
            backends: vec![
                backend("10.0.0.2:8080", "up", false),
                backend("10.0.0.2:80", "drain", false),
                backend("10.0.0.4:8080", "drain", false),
                backend("10.0.0.4:80", "leaving", false),
                backend("10.0.0.5:80", "leaving", false),
            ],
            ..ServiceStatus::default()
        };
        for (name, address) in [
            ("10.0.0.2", Some("10.0.0.2:80")),
            ("10.0.0.2:8080", Some("10.0.0.2:8080")),
            ("10.0.0.3", None),
            ("10.0.0.4", Some("10.0.0.4:8080")),
            ("10.0.0.4:80", Some("10.0.0.4:80")),
            ("10.0.0.5", Some("10.0.0.5:80")),
        ] {
            let found = meant(&BackendName::parse(name).unwrap(), &service);
            assert_eq!(found.map(|it| &*it.address), address, "{name}");
        }
    }

    #[test]
    fn a_drain_ends_with_the_last_flow_or_with_the_backend() {
        let a = "10.0.0.2:80";
        for (found, end) in [
            (Some(backend(a, "drain", false)), None),
            (Some(backend(a, "leaving", false)), None),
            (Some(backend(a, "unreachable", false)), None),
            (Some(backend(a, "drain", true)), Some("drained: ")),
            (Some(backend(a, "down", false)), Some("down: ")),
            (None, Some("drained: ")),
        ] {
            let ended = step(found.as_ref()).err();
            let matches = match (ended, end) {
                (Some(ended), Some(end)) => ended.starts_with(end),
                (ended, end) => ended == end,
            };
            assert!(matches, "{found:?}: {ended:?}");
        }
    }
}
