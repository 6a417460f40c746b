use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::config::parse;
use crate::health::board::Subject;
use crate::health::machine::{Asked, Moment, Role, Rules};
use crate::health::outcome::{AgentWords, Answer, Outcome};

/// A file of one service, and what is seen of its backends.
struct Scene {
    checked: Checked,
    board: Board,
    now: Instant,
}

impl Scene {
    fn new(fields: &str, backends: &str) -> Self {
        let text = format!(
            "[[service]]\naddress = \"tcp://10.0.0.10:80\"\nhealth = {{ type = \"tcp\", fall = 1, \
             rise = 1 }}\n{fields}\nbackends = [{backends}]\n"
        );
        let checked = parse("lb.toml", &text).unwrap_or_else(|error| panic!("{error}"));
        let mut scene = Self {
            board: Board::default(),
            checked,
            now: Instant::now(),
        };
        let service = scene.service().clone();
        let subject = |backend| Subject {
            endpoint: Endpoint::of(&service, backend),
            rules: Rules {
                rise: 1,
                fall: 1,
                slow_start: scene.health().slow_start,
            },
            check: true,
            words: Some(Role::Agent),
        };
        let subjects: Vec<Subject> = service.backends.iter().map(subject).collect();
        let moment = scene.moment();
        scene.board.set_subjects(service.id, &subjects, moment);
        scene
    }

    fn service(&self) -> &Service {
        &self.checked.desired.services[0]
    }

    fn health(&self) -> &ServiceHealth {
        &self.checked.health[&self.service().id]
    }

    fn moment(&self) -> Moment {
        Moment {
            at: self.now,
            unix_ms: 0,
        }
    }

    fn observe(&mut self, backend: usize, role: Role, outcome: &Outcome) {
        let service = self.service();
        let endpoint = Endpoint::of(service, &service.backends[backend]);
        let (subject, now) = ((service.id, endpoint), self.moment());
        self.board.observe(subject, role, outcome, now);
    }

    fn see(&mut self, backend: usize, answer: Answer) {
        let outcome = Outcome {
            answer,
            text: String::new(),
            took: Duration::ZERO,
            agent: None,
        };
        self.observe(backend, Role::Check, &outcome);
    }

    fn hear(&mut self, backend: usize, words: AgentWords) {
        let outcome = Outcome {
            answer: Answer::Good,
            text: String::new(),
            took: Duration::ZERO,
            agent: Some(words),
        };
        self.observe(backend, Role::Agent, &outcome);
    }

    fn percent(&mut self, backend: usize, percent: u16) {
        let words = AgentWords {
            percent: Some(percent),
            ..AgentWords::default()
        };
        self.hear(backend, words);
    }

    fn asked(&mut self, backend: usize, asked: Asked) {
        let words = AgentWords {
            asked: Some(asked),
            ..AgentWords::default()
        };
        self.hear(backend, words);
    }

    fn target(&self) -> ServiceTarget<'_> {
        target_of_service(self.service(), self.health(), &self.board, self.now)
    }

    /// When it next changes by itself.
    fn next(&self) -> Option<Instant> {
        let machines = self.board.machines_of(&self.service().id)?;
        let steps = machines
            .values()
            .filter_map(|machine| machine.next_step(self.now));
        steps.min()
    }

    /// As in `1 up, 0 down`.
    fn shown(&self) -> String {
        let target = self.target();
        let backends = target.service.backends.iter();
        let shown: Vec<String> = backends
            .map(|backend| format!("{} {}", backend.weight, backend.state))
            .collect();
        shown.join(", ")
    }
}

const THREE: &str = "\"10.0.0.1\", \"10.0.0.2\", \"10.0.0.3\"";

#[test]
fn without_bad_news_the_file_is_in_force_and_nothing_is_copied() {
    let mut scene = Scene::new("", THREE);
    assert!(matches!(scene.target().service, Cow::Borrowed(_)));
    for backend in 0..3 {
        scene.see(backend, Answer::Good);
    }
    let target = scene.target();
    assert!(matches!(target.service, Cow::Borrowed(_)));
    assert_eq!((target.condition, scene.next()), (Condition::Normal, None));
}

#[test]
fn a_backend_that_is_down_is_dead_or_drains() {
    let mut scene = Scene::new("", THREE);
    scene.see(1, Answer::Bad);
    assert_eq!(scene.shown(), "1 up, 1 down, 1 up");
    scene.see(1, Answer::Good);
    assert_eq!(scene.shown(), "1 up, 1 up, 1 up");
    let mut scene = Scene::new("on_down = \"keep\"", THREE);
    scene.see(1, Answer::Bad);
    assert_eq!(scene.shown(), "1 up, 1 drain, 1 up");
}

#[test]
fn what_the_file_takes_out_no_check_brings_back() {
    let backends = "\"10.0.0.1\", { address = \"10.0.0.2\", state = \"drain\" }, \
                    { address = \"10.0.0.3\", state = \"down\" }";
    let mut scene = Scene::new("panic_threshold = 100", backends);
    assert_eq!(scene.shown(), "1 up, 1 drain, 1 down");
    scene.see(0, Answer::Bad);
    assert_eq!(scene.target().condition, Condition::Panic);
    assert_eq!(scene.shown(), "1 up, 1 drain, 1 down");
    scene.see(1, Answer::Bad);
    assert_eq!(scene.shown(), "1 up, 1 down, 1 down", "who drained is dead");
}

#[test]
fn an_agent_drains_takes_out_and_weighs() {
    let mut scene = Scene::new("", THREE);
    scene.asked(0, Asked::Drain);
    scene.asked(1, Asked::Maintenance);
    assert_eq!(scene.shown(), "1 drain, 1 down, 1 up");
    scene.asked(0, Asked::Nothing);
    scene.asked(1, Asked::Nothing);
    scene.percent(1, 50);
    assert_eq!(scene.shown(), "100 up, 50 up, 100 up");
    scene.percent(1, 0);
    assert_eq!(scene.shown(), "1 up, 1 drain, 1 up");
    scene.percent(1, 100);
    assert!(matches!(scene.target().service, Cow::Borrowed(_)));
}

#[test]
fn large_weights_are_scaled_into_what_a_weight_can_be() {
    let backends = "{ address = \"10.0.0.1\", weight = 65535 }, \
                    { address = \"10.0.0.2\", weight = 1 }, \
                    { address = \"10.0.0.3\", weight = 30000 }";
    let mut scene = Scene::new("", backends);
    scene.percent(2, 50);
    assert_eq!(scene.shown(), "65535 up, 1 up, 15000 up");
    scene.percent(2, 400);
    assert_eq!(scene.shown(), "35790 up, 1 up, 65535 up");
}

#[test]
fn weight_comes_back_slowly_and_the_machine_says_when() {
    let mut scene = Scene::new("slow_start = \"90s\"", THREE);
    scene.see(0, Answer::Bad);
    scene.see(0, Answer::Good);
    let begun = scene.now;
    let mut shown = Vec::new();
    while let Some(next) = scene.next() {
        shown.push(scene.target().service.backends[0].weight);
        scene.now = next;
    }
    assert_eq!(shown, [10, 20, 30, 40, 50, 60, 70, 80, 90]);
    assert_eq!(scene.shown(), "1 up, 1 up, 1 up");
    assert_eq!((scene.now - begun).as_secs(), 90);
}

#[test]
fn with_too_few_up_all_are_used_unless_somebody_took_them_out() {
    let mut scene = Scene::new("panic_threshold = 50", &format!("{THREE}, \"10.0.0.4\""));
    scene.see(0, Answer::Bad);
    scene.see(1, Answer::Bad);
    assert_eq!(scene.target().condition, Condition::Normal, "half are up");
    assert_eq!(scene.shown(), "1 down, 1 down, 1 up, 1 up");
    scene.see(2, Answer::Bad);
    assert_eq!(scene.target().condition, Condition::Panic);
    assert_eq!(scene.shown(), "1 up, 1 up, 1 up, 1 up");
    scene.asked(0, Asked::Maintenance);
    assert_eq!(scene.shown(), "1 down, 1 up, 1 up, 1 up");
    scene.asked(1, Asked::Drain);
    // It is down, and down is more than draining.
    assert_eq!(scene.shown(), "1 down, 1 up, 1 up, 1 up");
    scene.see(2, Answer::Good);
    assert_eq!(scene.target().condition, Condition::Normal);
}

#[test]
fn sorry_backends_are_used_while_nobody_else_takes_flows() {
    let sorry = "sorry = [\"10.0.0.99\", { address = \"10.0.0.98\", weight = 2 }]";
    for panic in ["", "panic_threshold = 50\n"] {
        let mut scene = Scene::new(&format!("{panic}{sorry}"), "\"10.0.0.1\", \"10.0.0.2\"");
        assert_eq!(scene.shown(), "1 up, 1 up, 1 drain, 2 drain");
        scene.see(0, Answer::Bad);
        scene.see(1, Answer::Bad);
        assert_eq!(scene.target().condition, Condition::Sorry);
        assert_eq!(scene.shown(), "1 down, 1 down, 1 up, 2 up");
        scene.see(1, Answer::Good);
        assert_eq!(scene.shown(), "1 down, 1 up, 1 drain, 2 drain");
    }
}

#[test]
fn nobody_left_is_said() {
    let mut scene = Scene::new("", "\"10.0.0.1\", { address = \"10.0.0.2\", weight = 0 }");
    scene.see(0, Answer::Bad);
    assert_eq!(scene.target().condition, Condition::Empty);
    assert_eq!(scene.shown(), "1 down, 0 up");
}

#[test]
fn what_was_down_before_a_restart_is_down_until_it_is_seen_to_be_up() {
    let mut scene = Scene::new("", THREE);
    scene.see(0, Answer::Bad);
    scene.percent(1, 50);
    let saved = serde_json::to_string(&scene.board.saved()).unwrap();
    let board = Board::new(serde_json::from_str(&saved).unwrap());
    let mut again = Scene::new("", THREE);
    let service = again.service().id;
    let fresh = std::mem::replace(&mut again.board, board);
    let subject = |(endpoint, _): (&Endpoint, &Machine)| Subject {
        endpoint: *endpoint,
        rules: Rules {
            rise: 2,
            fall: 1,
            slow_start: Duration::ZERO,
        },
        check: true,
        words: Some(Role::Agent),
    };
    let subjects: Vec<Subject> = fresh
        .machines_of(&service)
        .unwrap()
        .iter()
        .map(subject)
        .collect();
    let moment = again.moment();
    let transitions = again.board.set_subjects(service, &subjects, moment);
    assert_eq!(transitions, []);
    assert_eq!(again.shown(), "100 down, 50 up, 100 up");
    again.see(0, Answer::Good);
    assert_eq!(again.shown(), "100 down, 50 up, 100 up");
    again.see(0, Answer::Good);
    assert_eq!(again.shown(), "100 up, 50 up, 100 up");
}

proptest! {
    /// Ratios of the weights are those of file times agent, as near as integers are.
    #[test]
    fn scaled_weights_keep_their_ratios(
        weights in prop::collection::vec((1..=65_535_u32, 1..=300_u16), 2..8),
    ) {
        let backends: Vec<String> = weights
            .iter()
            .enumerate()
            .map(|(at, (weight, _))| format!("{{ address = \"10.0.1.{}\", weight = {weight} }}", at + 1))
            .collect();
        let mut scene = Scene::new("", &backends.join(", "));
        for (at, (_, percent)) in weights.iter().enumerate() {
            scene.percent(at, *percent);
        }
        let target = scene.target();
        let wanted = |at: usize| f64::from(weights[at].0) * f64::from(weights[at].1);
        let largest = (0..weights.len()).map(wanted).fold(0.0, f64::max);
        let got_largest = target.service.backends.iter().map(|b| b.weight).max().unwrap();
        for (at, backend) in target.service.backends.iter().enumerate() {
            prop_assert!((1..=MAX_WEIGHT).contains(&backend.weight));
            let exact = wanted(at) / largest * f64::from(got_largest);
            prop_assert!((f64::from(backend.weight) - exact).abs() <= 1.5, "{exact} {backend:?}");
        }
    }
}

#[test]
fn ten_thousand_services_of_ten_backends_take_milliseconds() {
    use std::fmt::Write as _;
    let mut text = String::new();
    for service in 0..10_000 {
        let (high, low) = (service / 250, service % 250);
        write!(
            text,
            "[[service]]\naddress = \"tcp://10.1.{high}.{low}:80\"\nhealth = \"tcp\"\nbackends = ["
        )
        .unwrap();
        for backend in 1..=10 {
            write!(text, "\"10.{}.{high}.{low}\", ", 10 + backend).unwrap();
        }
        text += "]\n";
    }
    let checked = parse("lb.toml", &text).unwrap();
    let now = Moment {
        at: Instant::now(),
        unix_ms: 0,
    };
    let mut board = Board::default();
    for service in &checked.desired.services {
        let subject = |backend| Subject {
            endpoint: Endpoint::of(service, backend),
            rules: Rules {
                rise: 1,
                fall: 1,
                slow_start: Duration::ZERO,
            },
            check: true,
            words: None,
        };
        let subjects: Vec<Subject> = service.backends.iter().map(subject).collect();
        board.set_subjects(service.id, &subjects, now);
        let bad = Outcome {
            answer: Answer::Bad,
            text: "connection refused".into(),
            took: Duration::ZERO,
            agent: None,
        };
        let one = (service.id, subjects[3].endpoint);
        board.observe(one, Role::Check, &bad, now);
    }
    let took = (0..5).map(|_| {
        let begun = Instant::now();
        let target = target(&checked, &board, now.at);
        let took = begun.elapsed();
        let both = target
            .desired
            .services
            .iter()
            .zip(&checked.desired.services);
        assert_eq!(both.filter(|(now, file)| now != file).count(), 10_000);
        took
    });
    let took = took.min().unwrap();
    println!("{took:?}");
    // Unoptimized builds on a busy machine are an order of magnitude slower than a release.
    assert!(
        took < Duration::from_millis(if cfg!(debug_assertions) { 1_500 } else { 50 }),
        "{took:?}"
    );
}
