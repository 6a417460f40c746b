//! Random configurations, one after another, while connections and UDP flows are held, the process
//! is killed and servers die: what `plan` says comes true, what it does not say breaks nothing, and
//! new flows go where the file says.
//!
//! The course is the same each time, and short. To search, give another one:
//! `EVENKEEL_SEED=7 EVENKEEL_STEPS=400 cargo test -p evenkeel-tests --test network_random`.

#![forbid(unsafe_code)]

mod configuration;
mod terrain;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use configuration::{Configuration, Service, one_of};
use control::health::State;
use control::plan::{FlowPlan, PlanReport};
use evenkeel_tests::support::{
    Finished, PATIENCE, Scene, eventually, fresh_datagrams, fresh_requests, used,
};
use lab::fetch::{Broken, FetchOptions, HoldOptions, Holding, Protocol, Target};
use lab::topology::Role;
use terrain::Terrain;
use testkit::random::{Random, SEED_VARIABLE, from_environment};

/// Environment variable that sets how many changes are made.
const STEPS_VARIABLE: &str = "EVENKEEL_STEPS";
const STEPS: u64 = 30;
/// Of each service.
const FLOWS: usize = 12;
/// Requests after each change, of each service.
const REQUESTS: usize = 8;
/// Longer than any test goes on.
const LASTING: Duration = Duration::from_secs(24 * 60 * 60);

/// What happened in a course.
#[derive(Debug, Default)]
struct Tally {
    /// Changes applied without leave, and with.
    applied: u64,
    allowed: u64,
    /// Files that `plan` refused.
    refused: u64,
    by_hand: u64,
    restarts: u64,
    deaths: u64,
    /// Changes that a service's flows lived through.
    outlived: u64,
}

/// An instance that runs, what it was last told, and who uses it.
struct Course {
    // Before the lab that they are held in.
    held: BTreeMap<String, Holding>,
    scene: Scene,
    terrain: Terrain,
    configuration: Configuration,
    random: Random,
    tally: Tally,
}

impl Course {
    /// Runs an instance that has not been told anything yet.
    fn new((scene, terrain): (Scene, Terrain), seed: u64) -> Self {
        let mut course = Self {
            held: BTreeMap::new(),
            configuration: Configuration::default(),
            scene,
            tally: Tally::default(),
            random: Random::new(seed),
            terrain,
        };
        // The first that is no contradiction.
        loop {
            course.configuration = Configuration::new(&course.terrain, &mut course.random);
            course.write();
            let path = course.scene.folder().path().join("config.toml");
            let checked = course.scene.command(&format!("check {}", path.display()));
            if checked.code == Some(0) {
                break;
            }
        }
        course.run();
        course
    }

    /// Writes the configuration where the process reads it.
    fn write(&self) {
        let host = self.scene.balancer_host();
        let interfaces: Vec<_> = host.interfaces().iter().map(|i| i.name).collect();
        let text = format!("interfaces = {interfaces:?}\n{}", self.configuration);
        let _same_path = self.scene.folder().write("config.toml", text);
    }

    fn run(&mut self) {
        let path = self.scene.folder().path().join("config.toml");
        self.scene
            .run(&format!("--config {} --xdp native", path.display()));
    }

    /// Ends the process as a crash does, and runs the next one.
    fn restart(&mut self) {
        self.tally.restarts += 1;
        println!("  killed, and run again");
        let killed = self.scene.balancer().kill();
        killed.unwrap_or_else(|error| panic!("{error}"));
        self.run();
    }

    fn command(&self, arguments: &str) -> Finished {
        let finished = self.scene.command(arguments);
        println!("  {arguments}: {:?} {}", finished.code, finished.stderr);
        finished
    }

    fn done(&self, arguments: &str) {
        let finished = self.command(arguments);
        assert_eq!(finished.code, Some(0), "{arguments}: {finished:?}");
    }

    /// Holds flows of each service that has somebody to answer them, and none yet.
    fn hold(&mut self) {
        let clients = self.scene.topology().with_role(Role::Client);
        let clients: Vec<_> = clients.map(|client| client.name).collect();
        for service in &self.configuration.services {
            if service.servers().is_empty() || self.held.contains_key(&service.name()) {
                continue;
            }
            let options = HoldOptions {
                protocol: service.protocol,
                lasting: LASTING,
                every: Duration::from_millis(50),
                ..HoldOptions::new(FetchOptions {
                    concurrency: FLOWS,
                    timeout: Duration::from_secs(3),
                    ..FetchOptions::new(Target::root(service.address))
                })
            };
            let client = self.scene.host(one_of(&mut self.random, &clients));
            let holding = Holding::start(&client, options);
            let holding = holding.unwrap_or_else(|error| panic!("{error}"));
            let report = holding.report();
            assert_eq!(report.opened, FLOWS, "{}: {report}", service.name());
            self.held.insert(service.name(), holding);
        }
    }

    /// Flows are as they were, but for those that are forgiven; their service is not looked at any
    /// more.
    fn assert_held(&mut self, when: &str, forgives: impl Fn(&str, &Broken) -> bool) {
        self.held.retain(|service, holding| {
            let report = used(holding, when);
            let mut broken = report.broken.iter();
            assert!(
                broken.all(|broken| forgives(service, broken)),
                "{when}: {service}: {report}"
            );
            report.broken.is_empty()
        });
    }

    /// Lets go of flows whose service is not there any more, or is another.
    fn let_go(&mut self, before: &Configuration) {
        let same = |service: &&Service| {
            let mut old = before.services.iter();
            old.any(|old| (old.name(), old.mode) == (service.name(), service.mode))
        };
        let services = self.configuration.services.iter().filter(same);
        let names: HashSet<_> = services.map(Service::name).collect();
        self.held.retain(|service, _| names.contains(service));
    }

    fn plan(&self) -> Option<PlanReport> {
        let planned = self.command("plan --json");
        let plan = match planned.code {
            Some(0 | 2) => serde_json::from_str::<PlanReport>(&planned.stdout),
            _ => return None,
        };
        let plan = plan.unwrap_or_else(|error| panic!("{error}: {}", planned.stdout));
        assert_eq!(
            planned.code == Some(2),
            plan.breaks_anything(),
            "{planned:?}"
        );
        Some(plan)
    }

    /// The file is what runs.
    fn assert_in_force(&self) {
        let plan = self.plan().expect("a plan");
        assert_eq!(plan, PlanReport::default());
        let differs = self.scene.status().configuration.differs;
        assert_eq!(differs, [""; 0]);
    }

    /// New flows go to backends that take some, and to nobody else; not to one that is `dead`, if
    /// anybody checks it.
    fn assert_answered(&self, dead: Option<&str>) {
        for service in &self.configuration.services {
            let mut expected = service.servers();
            let misses_one = dead.is_some_and(|dead| expected.remove(dead));
            if expected.is_empty() || misses_one && !service.is_checked() {
                continue;
            }
            let ask = match service.protocol {
                Protocol::Tcp => fresh_requests,
                Protocol::Udp => fresh_datagrams,
            };
            let answered = ask(&self.scene.client(), service.address, REQUESTS);
            let is_expected = |server: &String| expected.contains(&**server);
            let name = service.name();
            assert!(
                answered.keys().all(is_expected),
                "{name}: {answered:?}, expected {expected:?}"
            );
        }
    }

    /// Applies another configuration, as its plan says it can be.
    fn apply(&mut self) {
        let before = self.configuration.clone();
        self.configuration = before.changed(&self.terrain, &mut self.random);
        println!("{}", self.configuration);
        self.write();
        let Some(plan) = self.plan() else {
            // `apply` refuses it, too.
            assert_eq!(self.command("apply").code, Some(1));
            self.configuration = before;
            self.write();
            self.tally.refused += 1;
            self.assert_held("after what is refused", none);
            self.assert_in_force();
            return;
        };
        let is_forgiven =
            |flows: &FlowPlan| flows.may_move || flows.breaks > 0 || flows.breaks_unknown;
        let services = plan.services.iter();
        let forgiven: BTreeSet<_> = services
            .filter(|service| is_forgiven(&service.flows))
            .map(|service| service.service.clone())
            .collect();
        if plan.breaks_anything() {
            let refused = self.command("apply");
            assert_eq!(refused.code, Some(2), "{refused:?}");
            self.done("apply --allow-disruption");
            self.tally.allowed += 1;
        } else {
            self.done("apply");
            self.tally.applied += 1;
        }
        self.assert_in_force();
        self.let_go(&before);
        self.assert_held("after a change", |service, _| forgiven.contains(service));
        self.tally.outlived += self.held.len() as u64;
    }

    /// Changes backends by hand, and goes back to the file.
    fn by_hand(&mut self) {
        self.tally.by_hand += 1;
        let mut forgiven = BTreeSet::new();
        let mut revived = BTreeSet::new();
        for _ in 0..=self.random.below(3) {
            let service = self.random.pick(&self.configuration.services);
            let backend = self.random.pick(&service.backends);
            let verbs = ["drain", "undrain", "weight", "remove", "add"];
            let verb = one_of(&mut self.random, &verbs);
            let weight = match verb {
                "weight" => one_of(&mut self.random, &[" 1", " 3", " 9"]),
                _ => "",
            };
            let (name, place) = (service.name(), backend.place.name());
            let told = self.command(&format!("backend {verb} {name} {place}{weight}"));
            let is_clear = told.code == Some(0) || told.stderr.contains("error");
            assert!(is_clear, "{told:?}");
            // UDP flows leave a backend that drains, and come back.
            if service.protocol == Protocol::Udp || service.never_tracks() {
                forgiven.insert(name.clone());
            }
            // It dies again with the way back to the file.
            if backend.state != "up" {
                revived.insert(name);
            }
        }
        if self.random.one_in(2) {
            self.restart();
        }
        let by_hand = |service: &str, _: &Broken| forgiven.contains(service);
        self.assert_held("after changes by hand", by_hand);
        self.done("reload --discard-overrides");
        self.assert_in_force();
        self.assert_held("after the way back to the file", |service, _| {
            forgiven.contains(service) || revived.contains(service)
        });
    }

    /// Ends a server, and starts it again: it breaks what it had, and nothing else.
    fn death(&mut self) {
        self.tally.deaths += 1;
        let servers = &self.terrain.servers;
        let (name, host, port) = servers[self.random.below(servers.len())].clone();
        println!("  {name} dies");
        self.scene.kill_server(&name, port);
        self.until_checked(&name, State::Down);
        if self.random.one_in(3) {
            self.restart();
            self.until_checked(&name, State::Down);
        }
        self.assert_held("after a death", |_, broken| {
            broken.server.as_deref() == Some(&*name)
        });
        self.assert_answered(Some(&name));
        self.scene.serve_as(&name, host, port);
        self.until_checked(&name, State::Up);
        self.assert_held("after a return", none);
    }

    /// Waits until every check of a server says so.
    fn until_checked(&self, server: &str, state: State) {
        eventually(&format!("{server} is {state}"), PATIENCE, || {
            let status = self.scene.status();
            let services = self.configuration.services.iter();
            let mut checked = services.filter(|service| service.is_checked());
            let is_told = |service: &Service| {
                let name = service.name();
                let mut told = status.services.iter();
                let told = told.find(|told| told.service == name).expect("a service");
                let mut its = service.backends.iter();
                its.all(|backend| {
                    let address = backend.place.name();
                    let mut told = told.backends.iter();
                    let told = told.find(|told| told.address == address);
                    let health = told.and_then(|told| told.health.as_ref());
                    backend.place.server != server
                        || backend.state == "down"
                        || health.is_some_and(|health| health.state == state)
                })
            };
            checked.all(is_told).then_some(())
        });
    }

    fn step(&mut self) {
        self.hold();
        self.assert_held("before a change", none);
        match self.random.below(12) {
            0 => {
                self.restart();
                self.assert_in_force();
                self.assert_held("after a restart", none);
            }
            1 | 2 => self.by_hand(),
            3 if !self.terrain.servers.is_empty() => self.death(),
            _ => self.apply(),
        }
        self.assert_answered(None);
    }
}

/// Forgives nothing.
fn none(_: &str, _: &Broken) -> bool {
    false
}

fn assert_course(place: (Scene, Terrain), seed: u64) {
    let seed = from_environment(SEED_VARIABLE).unwrap_or(seed);
    let steps = from_environment(STEPS_VARIABLE).unwrap_or(STEPS);
    println!("{SEED_VARIABLE}={seed}");
    let mut course = Course::new(place, seed);
    println!("{}", course.configuration);
    for step in 0..steps {
        println!("step {step}");
        course.step();
    }
    let tally = &course.tally;
    println!("{tally:#?}");
    assert!(tally.applied > steps / 4, "{tally:?}");
    assert!(tally.outlived > steps / 4, "{tally:?}");
}

#[test]
fn changes_of_routed_services_break_what_their_plan_says_and_nothing_else() {
    assert_course(terrain::routed("random"), 1);
}

#[test]
fn changes_of_tunnelled_services_break_what_their_plan_says_and_nothing_else() {
    assert_course(terrain::tunnelled("random"), 2);
}
