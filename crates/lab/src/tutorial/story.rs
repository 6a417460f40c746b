//! What happens to the load balancer while requests flow.

use std::time::{Duration, Instant};

use super::command::{CONFIG, Command};
use super::stage::Stage;
use super::telling::{Teller, held, split, time};
use crate::error::Result;
use crate::fetch::{
    Counts, FetchOptions, HoldOptions, HoldReport, Holding, Steady, SteadyOptions, Summary, Target,
    fetch,
};
use crate::topology::HostSpec;

/// How long each state of things is looked at.
const SCENE: Duration = Duration::from_secs(1);
/// Connections that are held, and the time between two requests of each.
const HELD: usize = 20;
const HELD_EVERY: Duration = Duration::from_millis(50);
/// Longer than any run.
const FOREVER: Duration = Duration::from_secs(3600);
/// Requests to the service that a change of the config adds.
const TO_ADDED: usize = 20;

/// What became of all requests of the story.
pub(super) struct Ending {
    pub(super) flowing: Counts,
    /// The longest time of those that began while no server was dead.
    pub(super) longest_undisturbed: Duration,
    pub(super) held: HoldReport,
}

/// The traffic, and the stage that it happens on.
pub(super) struct Story<'s, 'run, 't, 'out> {
    // The traffic ends before what answers it: fields are dropped in this order.
    flowing: Steady,
    holding: Option<Holding>,
    longest_undisturbed: Duration,
    stage: &'s mut Stage<'run>,
    teller: &'t mut Teller<'out>,
}

/// Tells all of it.
pub(super) fn tell(stage: &mut Stage<'_>, teller: &mut Teller<'_>) -> Result<Ending> {
    let options = SteadyOptions::new(Target::root(stage.service(stage.run.port)));
    let about = format!(
        "from here on {} requests a second, each on a connection of its own",
        options.per_second
    );
    teller.progress(&format!("\n  {about}"))?;
    let flowing = Steady::start(&stage.client()?, options)?;
    let mut story = Story {
        flowing,
        holding: None,
        longest_undisturbed: Duration::ZERO,
        stage,
        teller,
    };
    story.dies()?;
    story.comes_back()?;
    story.hold()?;
    story.drains()?;
    story.changes()?;
    story.is_upgraded()?;
    story.crashes()?;
    story.end()
}

impl Story<'_, '_, '_, '_> {
    fn dies(&mut self) -> Result<()> {
        let [first, _] = self.stage.backends;
        let title = format!("a backend dies: kill -9 for the server of {}", first.name);
        self.teller.chapter(&title)?;
        self.undisturbed()?;
        self.stage.kill_server(first)?;
        let took = self.stage.until_down(first, true)?;
        let meanwhile = self.turn()?;
        let line = format!("its health check took it out after {}", time(took));
        self.teller.fact(&line)?;
        if meanwhile.tries_repeated() > 0 {
            let line = "until then these tries failed, and were repeated:";
            self.teller.fact(line)?;
        }
        for (reason, count) in &meanwhile.repeated {
            self.teller.fact(&format!("  {count} x {reason}"))?;
        }
        self.scene()?.expect_none(first, self.teller)
    }

    fn comes_back(&mut self) -> Result<()> {
        let [first, _] = self.stage.backends;
        let title = format!("it comes back: the server of {} is started", first.name);
        self.teller.chapter(&title)?;
        self.stage.serve(first)?;
        let took = self.stage.until_down(first, false)?;
        let line = format!("its health check has it back after {}", time(took));
        self.teller.fact(&line)?;
        self.undisturbed()?;
        self.scene()?.expect_some(first, self.teller)
    }

    /// Only now: no load balancer can keep the connections of a server that is killed.
    fn hold(&mut self) -> Result<()> {
        let mut fetch = FetchOptions::new(Target::root(self.stage.service(self.stage.run.port)));
        fetch.concurrency = HELD;
        let options = HoldOptions {
            lasting: FOREVER,
            every: HELD_EVERY,
            ..HoldOptions::new(fetch)
        };
        let holding = Holding::start(&self.stage.client()?, options)?;
        let opened = holding.report().opened;
        self.holding = Some(holding);
        let about = format!("{HELD} connections are held from here on, each with a request every");
        self.teller
            .progress(&format!("\n  {about} {}", time(HELD_EVERY)))?;
        let complaint = format!("only {opened} of {HELD} connections opened");
        self.teller.expect(opened == HELD, &complaint)
    }

    fn drains(&mut self) -> Result<()> {
        let [first, _] = self.stage.backends;
        let title = format!("{} is drained, and taken back", first.name);
        self.teller.chapter(&title)?;
        self.run(Command::Drain(first.address()))?;
        self.undisturbed()?;
        self.scene()?.expect_none(first, self.teller)?;
        self.tell_held()?;
        self.run(Command::Undrain(first.address()))?;
        self.undisturbed()?;
        self.scene()?.expect_some(first, self.teller)
    }

    fn changes(&mut self) -> Result<()> {
        let [_, second] = self.stage.backends;
        let title = format!(
            "the config changes: {} gets weight 3, a service is added",
            second.name
        );
        self.teller.chapter(&title)?;
        self.stage.write_config(&self.stage.run.changed_config)?;
        let plan = self.run(Command::Plan { config: CONFIG })?;
        for line in plan.lines() {
            let sign = line.trim_start().get(..2).unwrap_or_default();
            if ["+ ", "~ ", "- ", "! "].contains(&sign) {
                self.teller
                    .fact(&format!("  {}", self.plan_line(line, sign)))?;
            }
        }
        self.run(Command::Apply { config: CONFIG })?;
        self.undisturbed()?;
        let after = self.scene()?;
        let share = after.0.of(second.name) * 100 / after.0.answered.max(1);
        let complaint = format!("{} got {share} % instead of 75 %", second.name);
        self.teller.expect((60..=90).contains(&share), &complaint)?;
        self.ask_added()?;
        self.tell_held()
    }

    fn plan_line(&self, line: &str, sign: &str) -> String {
        let style = self.teller.style;
        match sign {
            "+ " => style.good(line),
            "! " => style.bad(line),
            _ => line.to_owned(),
        }
    }

    fn ask_added(&mut self) -> Result<()> {
        let to = Target::root(self.stage.service(self.stage.run.added_port));
        let url = to.to_string();
        let options = FetchOptions {
            requests: TO_ADDED,
            interrupt: self.stage.interrupt().clone(),
            ..FetchOptions::new(to)
        };
        let report = self.stage.client()?.inside(|| fetch(&options))??;
        self.stage.check()?;
        let Summary {
            answered, failures, ..
        } = report.summary;
        let line = format!("{answered} of {TO_ADDED} requests to the new {url} answered");
        self.teller.fact(&line)?;
        let reasons: Vec<_> = failures.into_keys().collect();
        let complaint = format!("requests to {url} failed ({})", reasons.join("; "));
        self.teller.expect(answered == TO_ADDED, &complaint)
    }

    fn is_upgraded(&mut self) -> Result<()> {
        self.teller
            .chapter("an upgrade, to the same version: its process ends, another takes over")?;
        self.teller.command(&self.stage.line(Command::Leave))?;
        self.stage.end_balancer(Command::Leave)?;
        self.goes_on()
    }

    fn crashes(&mut self) -> Result<()> {
        self.teller.chapter("a crash: kill -9 for its process")?;
        self.stage.kill_balancer()?;
        self.goes_on()
    }

    /// Without a process, then with a new one.
    fn goes_on(&mut self) -> Result<()> {
        let begun = Instant::now();
        self.undisturbed()?;
        self.scene()?.expect_all(self.stage.backends, self.teller)?;
        let command = Command::Balance { config: CONFIG };
        self.teller.command(&self.stage.line(command))?;
        self.stage.balance()?;
        self.teller.fact(&format!(
            "{} without a process; the program in the kernel balanced on",
            time(begun.elapsed())
        ))?;
        self.undisturbed()?;
        self.scene()?.expect_all(self.stage.backends, self.teller)?;
        self.tell_held()
    }

    fn end(self) -> Result<Ending> {
        let flowing = self.flowing.finish()?;
        let held = match self.holding {
            Some(holding) => holding.finish()?,
            None => HoldReport::default(),
        };
        for broken in &held.broken {
            let server = broken.server.as_deref().unwrap_or("nobody");
            let complaint = format!("a held connection to {server} broke: {}", broken.reason);
            self.teller.expect(false, &complaint)?;
        }
        Ok(Ending {
            flowing,
            longest_undisturbed: self.longest_undisturbed,
            held,
        })
    }

    /// Runs a command and shows it.
    fn run(&mut self, command: Command<'_>) -> Result<String> {
        self.teller.command(&self.stage.line(command))?;
        self.stage.ask(command)
    }

    /// How requests fare while everything stays as it is.
    fn scene(&mut self) -> Result<Scene> {
        self.stage.pass(SCENE)?;
        let counts = self.undisturbed()?;
        let servers = self.stage.backends.map(|backend| backend.name);
        let line = split(&counts, servers, self.teller.style);
        self.teller.fact(&line)?;
        Ok(Scene(counts))
    }

    /// The count so far, in which every first try has to be a success.
    fn undisturbed(&mut self) -> Result<Counts> {
        let counts = self.turn()?;
        let reasons: Vec<&str> = counts.repeated.keys().map(String::as_str).collect();
        let complaint = format!(
            "{} tries failed with no server dead ({})",
            counts.tries_repeated(),
            reasons.join("; ")
        );
        self.teller.expect(reasons.is_empty(), &complaint)?;
        self.longest_undisturbed = self.longest_undisturbed.max(counts.longest);
        Ok(counts)
    }

    /// The count so far, in which every request has to be answered.
    fn turn(&mut self) -> Result<Counts> {
        let counts = self.flowing.turn();
        self.stage.check()?;
        let reasons: Vec<&str> = counts.failures.keys().map(String::as_str).collect();
        let complaint = format!(
            "{} requests failed ({})",
            counts.failed(),
            reasons.join("; ")
        );
        self.teller.expect(counts.failed() == 0, &complaint)?;
        Ok(counts)
    }

    fn tell_held(&mut self) -> Result<()> {
        if let Some(holding) = &self.holding {
            self.teller.fact(&held(&holding.report()))?;
        }
        Ok(())
    }
}

/// The counts of a while in which everything stayed as it was.
struct Scene(Counts);

impl Scene {
    fn expect_none(&self, backend: &HostSpec, teller: &mut Teller<'_>) -> Result<()> {
        let got = self.0.of(backend.name);
        let complaint = format!("{} got {got} requests, and should get none", backend.name);
        teller.expect(got == 0, &complaint)
    }

    fn expect_some(&self, backend: &HostSpec, teller: &mut Teller<'_>) -> Result<()> {
        let complaint = format!("{} got no request", backend.name);
        teller.expect(self.0.of(backend.name) > 0, &complaint)
    }

    fn expect_all(&self, backends: [&HostSpec; 2], teller: &mut Teller<'_>) -> Result<()> {
        let mut each = backends.into_iter();
        each.try_for_each(|backend| self.expect_some(backend, teller))
    }
}
