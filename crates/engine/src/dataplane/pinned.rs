//! With maps that outlive the process.
//!
//! A program is always loaded into a folder of its own (`next`): maps that fit as they are are
//! pinned there a second time, those that do not are made anew and get the content of the old ones.
//! Then the links run the new program, one after the other, and the folder takes the place of the
//! old one. **Both folders hold the same state until then**, so it does not matter where this is
//! interrupted: each interface runs the one program or the other, and the next process finds one
//! folder or the other. If it fails, which this process outlives, all links run the old program
//! again: it is pinned beside its maps.
//!
//! - `old`: what an earlier program works with, and what can stay of it.
//! - `fill`: what maps that are made anew get of the old ones.
//! - `meta`: what the maps say of themselves.

mod fill;
mod meta;
mod old;

use std::os::fd::{AsFd as _, BorrowedFd};

use abi::control::Settings;
use abi::directory::Active;
use abi::meta::Meta;

use super::load::{LASTING, Sizes};
use super::{DataPlane, Half, attach, load_error, migrate, program};
use crate::EngineError;
use crate::bpf;
use crate::desired::{Desired, Limits};
use crate::image::Image;
use crate::object;
use crate::pins::{PROGRAM, Pins};
use fill::Pass;
use meta::{foreign, read_meta, write_meta};
use old::Old;

impl DataPlane {
    /// Loads as [`Self::load`] does, with maps that outlive the process.
    pub fn load_pinned(pins: &Pins, desired: &Desired, image: &Image) -> Result<Self, EngineError> {
        let settings = crate::settings(desired, false);
        let sizes = Sizes::of(image, &desired.limits, settings.features);
        pins.prepare()?;
        // Nothing in them leads anywhere.
        pins.keep_links(&[])?;
        let mut plane = Self::build(object::XDP, settings, &sizes, Some(&pins.next()))?;
        write_meta(pins, &Meta::new(sizes.layout(), settings))?;
        plane.pin_program(pins)?;
        plane.pins = Some(pins.clone());
        pins.commit()?;
        Ok(plane)
    }

    /// Goes on with what an earlier process left: the same maps, this version's program, with
    /// settings and room for `desired` besides what there was. Returns with the links exchanged;
    /// after an error they run what they ran.
    ///
    /// # Errors
    /// The maps are another version's, or the flow seed is another: every flow would move.
    pub fn adopt(pins: &Pins, desired: &Desired, image: &Image) -> Result<Self, EngineError> {
        let old = Old::open(pins)?;
        let before = old.meta;
        let wanted = crate::settings(desired, false);
        if before.flow_seed != wanted.flow_seed {
            return Err(foreign(
                pins,
                format!(
                    "seed: {} is running, {} is wanted, and every flow would move",
                    before.flow_seed, wanted.flow_seed
                ),
            ));
        }
        let settings = crate::settings::both(before.features, before.any_port, &wanted);
        let sizes = Sizes::of(image, &desired.limits, settings.features);
        Self::over(pins, &old, settings, sizes)
    }

    /// The seed of the flows that an earlier process has left.
    pub fn pinned_seed(pins: &Pins) -> Result<u64, EngineError> {
        Ok(read_meta(pins)?.flow_seed)
    }

    /// Whether this plane's program can be exchanged while packets flow.
    #[must_use]
    pub fn can_be_replaced(&self) -> bool {
        self.pins.is_some()
    }

    /// Exchanges the program for one with other settings, with tables as `limits` says, and with room
    /// for no less than `image`, or for twice as much as now if there has to be `more`; while packets
    /// flow. After an error all is as it was.
    pub fn replace(
        &mut self,
        settings: Settings,
        limits: &Limits,
        image: &Image,
        more: bool,
    ) -> Result<(), EngineError> {
        let Some(pins) = self.pins.clone() else {
            return Err(EngineError::RestartNeeded {
                what: "another program: this one's maps are not pinned".into(),
            });
        };
        let attached = std::mem::take(&mut self.attached);
        let mut sizes = Sizes::of(image, limits, settings.features);
        if more {
            sizes.raise_to(&self.layout, 2);
        }
        match Old::open(&pins).and_then(|old| Self::over(&pins, &old, settings, sizes)) {
            Ok(plane) => {
                *self = plane;
                self.attached = attached;
                Ok(())
            }
            Err(error) => {
                self.attached = attached;
                Err(error)
            }
        }
    }

    fn over(
        pins: &Pins,
        old: &Old,
        settings: Settings,
        mut sizes: Sizes,
    ) -> Result<Self, EngineError> {
        sizes.raise_to(&old.meta.layout, 1);
        pins.prepare()?;
        for name in LASTING {
            if old.fits(name, &sizes)? {
                bpf::pin(old.fd(name)?, &pins.next().join(name))
                    .map_err(|source| pins.error("pin a map in", source))?;
            }
        }
        write_meta(pins, &Meta::new(sizes.layout(), settings))?;
        let mut plane = Self::build(object::XDP, settings, &sizes, Some(&pins.next()))?;
        plane.pin_program(pins)?;
        plane.pins = Some(pins.clone());
        plane.fill_from(old)?;
        plane.fill_tables(old, Pass::Before)?;
        migrate::migrate(&mut plane, old.meta.version)?;
        let control = plane.control();
        plane.v4.active = Some(half(control.directory_v4));
        plane.v6.active = Some(half(control.directory_v6));
        let links: Vec<u32> = pins
            .pinned_links()
            .iter()
            .map(|link| link.interface)
            .filter(|index| *index != 0)
            .collect();
        for index in &links {
            plane.let_leave_by(*index)?;
        }
        plane.take_over_from(old, pins, &links).inspect_err(|_| {
            // Back to the program whose maps are in force. The first error is the one to tell.
            if let Some(program) = &old.program {
                for index in &links {
                    let _ = attach::exchange(program, pins, *index);
                }
            }
        })?;
        Ok(plane)
    }

    /// Lets the links run this program, and its maps be the ones in force.
    fn take_over_from(&mut self, old: &Old, pins: &Pins, links: &[u32]) -> Result<(), EngineError> {
        for index in links {
            let exchanged = attach::exchange(&self.program()?, pins, *index);
            // An interface may go meanwhile, and its link with it.
            if pins.open_link(*index)?.is_some() {
                exchanged?;
            }
        }
        // The new program runs, and what did not fit is not known any more.
        let _ = self.fill_tables(old, Pass::After);
        pins.commit()
    }

    /// Lets it be found beside its maps.
    fn pin_program(&mut self, pins: &Pins) -> Result<(), EngineError> {
        bpf::pin(&self.program()?, &pins.next().join(PROGRAM))
            .map_err(|source| pins.error("pin the program in", source))
    }

    fn program(&mut self) -> Result<BorrowedFd<'_>, EngineError> {
        let program = program(&mut self.ebpf, "evenkeel")?;
        program.fd().map(|fd| fd.as_fd()).map_err(load_error)
    }
}

/// Which copy a word of [`Control`] names.
fn half(active: Active) -> Half {
    match active.first_bucket() {
        0 => Half::First,
        _ => Half::Second,
    }
}
