//! The list of overrides, applied to a configuration.

use std::sync::Arc;

use engine::desired::{Backend, Service};
use serde::{Deserialize, Serialize};

use super::edit::{edit, spec_name};
use super::{MAX_OVERRIDES, Override, OverrideError};
use crate::config::tree::Fields;
use crate::config::{
    BackendName, Checked, ConfigError, MAX_WEIGHT, Reading, backend_name, fits, parse, service_name,
};

/// What the effective configuration is called in errors.
const EFFECTIVE: &str = "the configuration with what was changed by hand";

/// A configuration that overrides are applied to: what a file says.
#[derive(Clone, Debug)]
pub(crate) struct Base {
    /// As it was read.
    reading: Reading,
    /// What it means.
    pub(crate) checked: Arc<Checked>,
    /// Replace the interfaces of any text, unless empty.
    pub(crate) interfaces: Vec<String>,
}

impl Base {
    /// Reads a text; `name` is what errors call it.
    pub(crate) fn parse(
        name: &str,
        text: String,
        interfaces: Vec<String>,
    ) -> Result<Self, ConfigError> {
        fits(name, &text)?;
        let (reading, checked) = Reading::of(name, text)?;
        Ok(Self {
            reading,
            checked: with_interfaces(checked, &interfaces).into(),
            interfaces,
        })
    }

    /// Reads another text in its place, the sooner the more it is like this one.
    pub(crate) fn with_text(&self, name: &str, text: String) -> Result<Self, ConfigError> {
        fits(name, &text)?;
        let (reading, checked) = self.reading.again(name, text)?;
        let interfaces = self.interfaces.clone();
        Ok(Self {
            reading,
            checked: with_interfaces(checked, &interfaces).into(),
            interfaces,
        })
    }

    /// Its text.
    pub(crate) fn text(&self) -> &str {
        self.reading.text()
    }

    fn tree(&self) -> Fields {
        // It was parsed before.
        Fields::parse(self.text()).unwrap_or_default()
    }
}

/// What a configuration is with what was changed by hand.
#[derive(Clone, Debug)]
pub(crate) struct Effective {
    /// Before states and weights: what services and backends there are.
    structure: Arc<Checked>,
    /// All of it.
    pub(crate) checked: Arc<Checked>,
}

impl Effective {
    /// Nothing was.
    pub(crate) fn of(base: &Base) -> Self {
        Self {
            structure: Arc::clone(&base.checked),
            checked: Arc::clone(&base.checked),
        }
    }
}

fn with_interfaces(mut checked: Checked, interfaces: &[String]) -> Checked {
    if !interfaces.is_empty() {
        checked.desired.interfaces = interfaces.to_vec();
    }
    checked
}

/// What was changed by hand, in the order that it happened in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Overrides(Vec<Override>);

impl Overrides {
    /// They.
    #[must_use]
    pub fn as_slice(&self) -> &[Override] {
        &self.0
    }

    /// Adds one, which takes the place of earlier ones that are about the same, and says what the
    /// configuration is then; `now`: what it is without it.
    ///
    /// # Errors
    /// It cannot be.
    pub(crate) fn with(
        &self,
        base: &Base,
        now: &Effective,
        change: Override,
    ) -> Result<(Self, Effective), OverrideError> {
        let change = named(&now.checked, change)?;
        let is_structural = change.is_structural();
        let mut list = self.clone();
        list.forget(&change);
        let matters = match &change {
            Override::ServiceAdded { .. } | Override::BackendAdded { .. } => true,
            change if is_structural => {
                let without = list.structure(base).map_err(|(_, error)| error)?;
                Self::matters(&without, change)
            }
            change => Self::matters(&now.structure, change),
        };
        if matters {
            list.0.push(change);
        }
        if list.0.len() > MAX_OVERRIDES {
            return Err(OverrideError::TooMany);
        }
        // Only then is there something to parse.
        let structure = match is_structural {
            true => list.structure(base).map_err(|(_, error)| error)?,
            false => Arc::clone(&now.structure),
        };
        let mut checked = Arc::clone(&structure);
        let mut changes = list.0.iter().filter(|change| !change.is_structural());
        changes.try_for_each(|change| adjust(Arc::make_mut(&mut checked), change))?;
        Ok((list, Effective { structure, checked }))
    }

    /// What the configuration is with them. Those that cannot be any more are dropped, and told.
    pub(crate) fn fit(&mut self, base: &Base) -> (Effective, Vec<String>) {
        let mut dropped = Vec::new();
        let mut note = |change: &Override, error: &OverrideError| {
            let why = error.to_string();
            let why = why.lines().next().unwrap_or_default();
            dropped.push(format!("dropped what was changed by hand: {change}: {why}"));
        };
        if self.0.iter().any(Override::is_structural) {
            let mut tree = base.tree();
            let mut fits = |change: &Override| {
                let edited = edit(&mut tree, change);
                edited.map_err(|error| note(change, &error)).is_ok()
            };
            self.0
                .retain(|change| !change.is_structural() || fits(change));
        }
        let structure = loop {
            match self.structure(base) {
                Ok(structure) => break structure,
                Err((index, error)) => note(&self.0.remove(index), &error),
            }
        };
        let mut checked = Arc::clone(&structure);
        let mut fits = |change: &Override| {
            let adjusted = adjust(Arc::make_mut(&mut checked), change);
            adjusted.map_err(|error| note(change, &error)).is_ok()
        };
        self.0
            .retain(|change| change.is_structural() || fits(change));
        (Effective { structure, checked }, dropped)
    }

    /// The configuration with the services and backends that there are, before states and weights; or
    /// the first of them that cannot be.
    fn structure(&self, base: &Base) -> Result<Arc<Checked>, (usize, OverrideError)> {
        let Some(last) = self.0.iter().rposition(Override::is_structural) else {
            return Ok(Arc::clone(&base.checked));
        };
        let tree = self.edited(base, Override::is_structural)?;
        // Whether they make sense together, the last of them decides.
        let checked = parse(EFFECTIVE, &tree.to_string()).map_err(|error| (last, error.into()))?;
        Ok(with_interfaces(checked, &base.interfaces).into())
    }

    /// The text of the configuration with them.
    pub(crate) fn text(&self, base: &Base) -> String {
        match self.edited(base, |_| true) {
            Ok(tree) if !self.0.is_empty() => tree.to_string(),
            _ => base.text().to_owned(),
        }
    }

    fn edited(
        &self,
        base: &Base,
        which: fn(&Override) -> bool,
    ) -> Result<Fields, (usize, OverrideError)> {
        let mut tree = base.tree();
        let changes = self.0.iter().enumerate();
        for (index, change) in changes.filter(|(_, change)| which(change)) {
            edit(&mut tree, change).map_err(|error| (index, error))?;
        }
        Ok(tree)
    }

    /// Takes out what a later change makes void.
    fn forget(&mut self, change: &Override) {
        // What is added is written without the star that stands for every port.
        let called = |it: &Override| {
            let name = it.backend()?;
            Some(name.strip_suffix(":*").unwrap_or(name).to_owned())
        };
        let same_backend =
            |it: &Override| it.service() == change.service() && called(it) == called(change);
        self.0.retain(|it| match change {
            Override::ServiceAdded { .. } | Override::BackendAdded { .. } => true,
            Override::ServiceRemoved { service } => it.service() != service,
            Override::BackendRemoved { .. } => !same_backend(it),
            Override::BackendState { .. } => {
                !(same_backend(it) && matches!(it, Override::BackendState { .. }))
            }
            Override::BackendWeight { .. } => {
                !(same_backend(it) && matches!(it, Override::BackendWeight { .. }))
            }
        });
    }

    /// Whether the configuration, which has these services and backends `without` it, would be another
    /// with it.
    fn matters(without: &Checked, change: &Override) -> bool {
        let service = service(without, change.service());
        let known = || {
            let name = change.backend()?;
            backend(service.as_ref().ok()?, name).ok()
        };
        match change {
            Override::ServiceAdded { .. } | Override::BackendAdded { .. } => true,
            Override::ServiceRemoved { .. } => service.is_ok(),
            Override::BackendRemoved { .. } => known().is_some(),
            Override::BackendState { state, .. } => {
                known().is_none_or(|backend| backend.state != (*state).into())
            }
            Override::BackendWeight { weight, .. } => {
                known().is_none_or(|backend| backend.weight != *weight)
            }
        }
    }
}

fn service<'a>(checked: &'a Checked, name: &str) -> Result<&'a Service, OverrideError> {
    let id = service_name(name)?;
    let mut services = checked.desired.services.iter();
    let found = services.find(|service| service.id == id);
    found.ok_or_else(|| OverrideError::NoService(id.to_string()))
}

fn backend<'a>(service: &'a Service, name: &str) -> Result<&'a Backend, OverrideError> {
    let found = BackendName::parse(name)?.find(service);
    let found = found.ok_or_else(|| OverrideError::NoBackend {
        service: service.id.to_string(),
        backend: name.into(),
    })?;
    Ok(&service.backends[found])
}

/// The change, with its service and backend called as everywhere else.
fn named(checked: &Checked, change: Override) -> Result<Override, OverrideError> {
    if let Override::ServiceAdded { mut spec } = change {
        spec.address = service_name(&spec.address)?.to_string();
        return Ok(Override::ServiceAdded { spec });
    }
    let service = service(checked, change.service())?;
    let known = |name: &str| Ok::<_, OverrideError>(backend_name(service, backend(service, name)?));
    let id = service.id.to_string();
    Ok(match change {
        Override::ServiceAdded { .. } | Override::ServiceRemoved { .. } => {
            Override::ServiceRemoved { service: id }
        }
        Override::BackendAdded { mut spec, .. } => {
            let name = spec_name(&spec)?;
            let backend = Backend {
                port: name.port,
                ..Backend::new(name.address)
            };
            let mac = spec.address.split_once('@').map(|(_, mac)| mac.to_owned());
            spec.mac = spec.mac.or(mac);
            spec.port = None;
            let called = backend_name(service, &backend);
            spec.address = called.strip_suffix(":*").unwrap_or(&called).to_owned();
            Override::BackendAdded { service: id, spec }
        }
        Override::BackendRemoved { backend, .. } => Override::BackendRemoved {
            service: id,
            backend: known(&backend)?,
        },
        Override::BackendState { backend, state, .. } => Override::BackendState {
            service: id,
            backend: known(&backend)?,
            state,
        },
        Override::BackendWeight {
            backend, weight, ..
        } => Override::BackendWeight {
            service: id,
            backend: known(&backend)?,
            weight,
        },
    })
}

/// Gives a backend another state or weight, or changes nothing. Nothing else depends on them, so that
/// nothing has to be parsed again: ten thousand services take a while.
fn adjust(checked: &mut Checked, change: &Override) -> Result<(), OverrideError> {
    let Some(name) = change.backend() else {
        return Ok(());
    };
    let id = service(checked, change.service())?.id;
    let mut services = checked.desired.services.iter_mut();
    let Some(service) = services.find(|service| service.id == id) else {
        return Err(OverrideError::NoService(id.to_string()));
    };
    let index = BackendName::parse(name)?.find(service);
    let index = index.ok_or_else(|| OverrideError::NoBackend {
        service: id.to_string(),
        backend: name.into(),
    })?;
    match change {
        Override::BackendState { state, .. } => service.backends[index].state = (*state).into(),
        Override::BackendWeight { weight, .. } if *weight > MAX_WEIGHT => {
            return Err(OverrideError::Weight(*weight));
        }
        Override::BackendWeight { weight, .. } => {
            let mut others = service.backends.iter().enumerate();
            let any = others.any(|(other, backend)| other != index && backend.weight > 0);
            if *weight == 0 && !any {
                return Err(OverrideError::NoWeight(id.to_string()));
            }
            service.backends[index].weight = *weight;
        }
        _ => {}
    }
    Ok(())
}
