//! The instance's interfaces: those that are configured, as they come, change and go.

use std::collections::BTreeMap;
use std::sync::Mutex;

use engine::EngineError;
use engine::dataplane::{AttachMode, AttachedMode, Attachment};
use engine::desired::Desired;
use rtnetlink::MulticastGroup;
use tracing::warn;

use super::state::{Attached, Instance};
use super::{ReloadError, RunError, lock, start};
use crate::event::{CANNOT_BE_USED, IS_GONE, What};
use crate::nexthop::{Interface, XdpMode, interface};

/// Whose notifications tell that they may have changed.
pub(super) const GROUPS: [MulticastGroup; 1] = [MulticastGroup::Link];

impl Instance {
    /// Attaches to one interface, or goes on with what an earlier process attached there.
    pub(super) fn attach(&mut self, interface: Interface) -> Result<(), RunError> {
        // Without a program on it, a link of that index is that of another namespace's interface.
        let is_ours =
            !interface.xdp.is_empty() && self.plane.take_over(&interface.name, interface.index)?;
        let attachment = if is_ours {
            let attachment = inherited(&interface);
            self.tell_mode(&interface.name, attachment.mode);
            attachment
        } else {
            start::check(&interface)?;
            self.plane
                .attach(&interface.name, interface.index, self.mode)?
        };
        let (index, name) = (interface.index, interface.name.clone());
        self.reach.interfaces.insert(index, name);
        self.is_behind = true;
        self.attached.push(Attached {
            interface,
            attachment,
        });
        Ok(())
    }

    /// An earlier process may have attached in another way than is asked for now.
    fn tell_mode(&self, interface: &str, mode: AttachedMode) {
        let wanted = match self.mode {
            AttachMode::Auto => return,
            AttachMode::Native => AttachedMode::Native,
            AttachMode::Generic => AttachedMode::Generic,
        };
        if mode != wanted {
            warn!(
                "{interface} stays in {} mode, in which an earlier process attached it: `evenkeel stop` \
                 first, which interrupts balancing, for {} mode",
                mode.name(),
                wanted.name()
            );
        }
    }

    /// Takes over what has become of the interfaces. What fails is told, and tried the next time.
    pub(super) fn follow_interfaces(&mut self, present: &[Interface]) -> Result<(), EngineError> {
        let names = self.desired().interfaces.clone();
        self.told.keep(&names);
        let mut lost = Vec::new();
        for mut attached in std::mem::take(&mut self.attached) {
            match still_ours(&attached.interface, present, &names) {
                Ok(now) => {
                    self.tell_changes(&attached.interface, now);
                    attached.interface = now.clone();
                    self.attached.push(attached);
                }
                Err(change) => lost.push((attached.interface, change)),
            }
        }
        // What fails with one of them is no reason to lose sight of the others.
        let mut detached = Ok(());
        for (interface, change) in lost {
            detached = detached.and(self.plane.detach_from(interface.index));
            self.reach.interfaces.remove(&interface.index);
            self.is_behind = true;
            self.tell_interface(interface.name, change.into());
        }
        for name in names {
            let is_attached = |it: &Attached| it.interface.name == name;
            let found = present.iter().find(|interface| interface.name == name);
            let Some(found) = found.filter(|_| !self.attached.iter().any(is_attached)) else {
                continue;
            };
            let change = match self.attach(found.clone()) {
                Ok(()) => "is there, the program is attached".into(),
                Err(error) => format!("{CANNOT_BE_USED}: {error}"),
            };
            self.tell_interface(name, change);
        }
        detached.and(self.catch_up())
    }

    fn tell_changes(&mut self, before: &Interface, now: &Interface) {
        let mac = |interface: &Interface| {
            let mac = interface.mac.map(|mac| mac.to_string());
            mac.unwrap_or_else(|| "none".into())
        };
        let words = [
            ("MAC", mac(before), mac(now)),
            ("MTU", before.mtu.to_string(), now.mtu.to_string()),
            (
                "carrier",
                before.carrier.to_string(),
                now.carrier.to_string(),
            ),
        ];
        for (what, before, now_is) in words {
            if before != now_is {
                let change = format!("has another {what}: {now_is}, was {before}");
                self.tell_interface(now.name.clone(), change);
            }
        }
    }

    fn tell_interface(&mut self, interface: String, change: String) {
        if self.told.is_new(&interface, &change) {
            self.events.tell(What::Interface { interface, change });
        }
    }
}

/// What was last told of each interface. What is tried again with every look is told once.
#[derive(Debug, Default)]
pub(super) struct LastTold(BTreeMap<String, String>);

impl LastTold {
    fn is_new(&mut self, interface: &str, change: &str) -> bool {
        let before = self.0.insert(interface.into(), change.into());
        before.is_none_or(|before| before != change)
    }

    /// Forgets all others.
    fn keep(&mut self, interfaces: &[String]) {
        self.0.retain(|name, _| interfaces.contains(name));
    }
}

/// An interface as it is now, or why it is none of ours any more.
fn still_ours<'a>(
    interface: &Interface,
    present: &'a [Interface],
    names: &[String],
) -> Result<&'a Interface, &'static str> {
    match present.iter().find(|it| it.index == interface.index) {
        Some(now) if names.contains(&now.name) => Ok(now),
        Some(_) => Err("is no longer evenkeel's"),
        None => Err(IS_GONE),
    }
}

/// Whether the interfaces of another configuration that are new in it can be used.
pub(crate) async fn check_interfaces(
    instance: &Mutex<Instance>,
    desired: &Desired,
) -> Result<(), ReloadError> {
    let refused = |error| ReloadError::Interface(Box::new(error));
    if desired.interfaces.is_empty() {
        return Err(refused(RunError::NoInterface));
    }
    let before = lock(instance).desired().interfaces.clone();
    let mut new = desired.interfaces.iter();
    for name in new.by_ref().filter(|name| !before.contains(name)) {
        let interface = interface(name).await;
        let interface = interface.map_err(|error| refused(error.into()))?;
        start::check(&interface).map_err(refused)?;
    }
    Ok(())
}

/// How an earlier process attached.
fn inherited(interface: &Interface) -> Attachment {
    let generic = interface
        .xdp
        .iter()
        .any(|program| program.mode == XdpMode::Generic);
    Attachment {
        mode: match generic {
            true => AttachedMode::Generic,
            false => AttachedMode::Native,
        },
        native_refused: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_tried_again_and_again_is_told_once() {
        let mut told = LastTold::default();
        for (interface, change, is_new) in [
            ("eth0", "cannot be used: x", true),
            ("eth1", "cannot be used: x", true),
            ("eth0", "cannot be used: x", false),
            ("eth0", "cannot be used: y", true),
            ("eth0", "cannot be used: x", true),
            ("eth0", "is there", true),
            ("eth0", "cannot be used: x", true),
        ] {
            assert_eq!(
                told.is_new(interface, change),
                is_new,
                "{interface} {change}"
            );
        }
        told.keep(&["eth1".into()]);
        assert!(told.is_new("eth0", "cannot be used: x"));
        assert!(!told.is_new("eth1", "cannot be used: x"));
    }
}
