//! The instance's interfaces: those that are configured, as they come, change and go.

use engine::EngineError;
use engine::dataplane::{AttachedMode, Attachment};
use engine::desired::Desired;
use rtnetlink::MulticastGroup;

use super::state::{Attached, Instance};
use super::{RunError, Running, lock, start};
use crate::event::What;
use crate::nexthop::{Interface, XdpMode, interface};

/// Whose notifications tell that they may have changed.
pub(super) const GROUPS: [MulticastGroup; 1] = [MulticastGroup::Link];

impl Instance {
    /// Attaches to one interface, or goes on with what an earlier process attached there.
    pub(super) fn attach(&mut self, interface: Interface) -> Result<(), RunError> {
        let is_ours = self.plane.take_over(&interface.name, interface.index)?;
        let attachment = if is_ours {
            inherited(&interface)
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

    /// Takes over what has become of the interfaces. What fails is told, and tried the next time.
    pub(super) fn follow_interfaces(&mut self, present: &[Interface]) -> Result<(), EngineError> {
        let names = self.desired().interfaces.clone();
        let mut stay = Vec::new();
        for mut attached in std::mem::take(&mut self.attached) {
            let name = attached.interface.name.clone();
            let now = present
                .iter()
                .find(|it| it.index == attached.interface.index);
            let change = match now {
                Some(now) if names.contains(&now.name) => {
                    self.tell_changes(&attached.interface, now);
                    attached.interface = now.clone();
                    stay.push(attached);
                    continue;
                }
                Some(_) => "is no longer evenkeel's",
                None => "is gone",
            };
            self.plane.detach_from(attached.interface.index)?;
            self.reach.interfaces.remove(&attached.interface.index);
            self.is_behind = true;
            self.tell_interface(name, change);
        }
        self.attached = stay;
        for name in names {
            let is_attached = |it: &Attached| it.interface.name == name;
            let found = present.iter().find(|interface| interface.name == name);
            let Some(found) = found.filter(|_| !self.attached.iter().any(is_attached)) else {
                continue;
            };
            match self.attach(found.clone()) {
                Ok(()) => self.tell_interface(name, "is there, the program is attached"),
                Err(error) => self.tell_interface(name, format!("cannot be used: {error}")),
            }
        }
        self.catch_up()
    }

    fn tell_changes(&self, before: &Interface, now: &Interface) {
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

    fn tell_interface(&self, interface: String, change: impl Into<String>) {
        self.events.tell(What::Interface {
            interface,
            change: change.into(),
        });
    }
}

impl Running {
    /// Whether the interfaces of another configuration that are new in it can be used.
    pub(super) async fn check_interfaces(&self, desired: &Desired) -> Result<(), RunError> {
        if desired.interfaces.is_empty() {
            return Err(RunError::NoInterface);
        }
        let before = lock(&self.instance).desired().interfaces.clone();
        for name in desired
            .interfaces
            .iter()
            .filter(|name| !before.contains(name))
        {
            start::check(&interface(name).await?)?;
        }
        Ok(())
    }
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
