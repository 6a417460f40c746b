use std::cell::Cell;

use proptest::prelude::*;

use super::*;

fn rules(rise: u8, fall: u8, slow_start: u64) -> Rules {
    Rules {
        rise,
        fall,
        slow_start: Duration::from_secs(slow_start),
    }
}

/// A machine and its clock, in milliseconds.
struct Bench {
    machine: Machine,
    begun: Instant,
    gone: Cell<u64>,
}

impl Bench {
    fn new(rules: Rules) -> Self {
        Self {
            machine: Machine::new(Memory::default(), rules),
            begun: Instant::now(),
            gone: Cell::new(0),
        }
    }

    fn now(&self) -> Moment {
        Moment {
            at: self.begun + Duration::from_millis(self.gone.get()),
            unix_ms: self.gone.get(),
        }
    }

    fn wait(&self, millis: u64) {
        self.gone.set(self.gone.get() + millis);
    }

    fn see(&mut self, answer: Answer) -> Option<Step> {
        let outcome = Outcome {
            answer,
            text: "seen".to_owned(),
            took: Duration::ZERO,
            agent: None,
        };
        self.machine.observe(Role::Check, &outcome, self.now())
    }

    fn hear(&mut self, words: AgentWords) -> Option<Step> {
        let outcome = Outcome {
            answer: Answer::Good,
            text: "heard".to_owned(),
            took: Duration::ZERO,
            agent: Some(words),
        };
        self.machine.observe(Role::Agent, &outcome, self.now())
    }

    fn state(&self) -> State {
        self.machine.state(self.now().at)
    }

    fn share(&self) -> u32 {
        self.machine.share(self.now().at)
    }
}

const SAYS_NOTHING: AgentWords = AgentWords {
    down: None,
    asked: None,
    percent: None,
};

#[test]
fn the_first_success_decides_and_it_takes_fall_failures() {
    let mut good = Bench::new(rules(5, 3, 0));
    assert_eq!(good.state(), State::Unknown);
    good.see(Answer::Good);
    assert_eq!(good.state(), State::Up);
    let mut bad = Bench::new(rules(5, 3, 0));
    bad.see(Answer::Bad);
    bad.see(Answer::Bad);
    assert_eq!(bad.state(), State::Unknown);
    let step = bad.see(Answer::Bad).unwrap();
    assert_eq!((step.from, step.to), (State::Unknown, State::Down));
    assert_eq!(step.reason, "seen (3 times in a row)");
}

#[test]
fn it_takes_rise_successes_in_a_row_to_come_back() {
    let mut bench = Bench::new(rules(2, 1, 0));
    for (answer, state) in [
        (Answer::Good, State::Up),
        (Answer::Bad, State::Down),
        (Answer::Good, State::Down),
        (Answer::Bad, State::Down),
        (Answer::Good, State::Down),
        (Answer::Good, State::Up),
    ] {
        bench.see(answer);
        assert_eq!(bench.state(), state);
    }
}

#[test]
fn a_check_that_could_not_be_made_says_nothing() {
    let mut bench = Bench::new(rules(2, 2, 0));
    bench.see(Answer::Good);
    bench.see(Answer::Bad);
    for _ in 0..10 {
        assert_eq!(bench.see(Answer::Inconclusive), None);
    }
    bench.see(Answer::Bad);
    assert_eq!(bench.state(), State::Down);
}

#[test]
fn weight_rises_from_a_tenth_in_steps_that_are_announced() {
    let mut bench = Bench::new(rules(1, 1, 9));
    bench.see(Answer::Good);
    assert_eq!((bench.state(), bench.share()), (State::Up, WHOLE));
    bench.see(Answer::Bad);
    bench.see(Answer::Good);
    let mut shares = Vec::new();
    while let Some(next) = bench.machine.next_step(bench.now().at) {
        assert_eq!(bench.state(), State::Starting);
        shares.push(bench.share());
        bench.wait((next - bench.now().at).as_millis() as u64);
        if let Some(step) = bench.machine.advance(bench.now()) {
            assert_eq!((step.from, step.to), (State::Starting, State::Up));
        }
    }
    assert_eq!(shares, [100, 200, 300, 400, 500, 600, 700, 800, 900]);
    assert_eq!((bench.state(), bench.share()), (State::Up, WHOLE));
    assert_eq!(bench.now().unix_ms, 9_001);
}

#[test]
fn a_backend_that_fails_while_it_starts_begins_anew() {
    let mut bench = Bench::new(rules(1, 1, 10));
    bench.see(Answer::Good);
    bench.see(Answer::Bad);
    bench.see(Answer::Good);
    bench.wait(5_000);
    assert_eq!(bench.share(), 500);
    bench.see(Answer::Bad);
    assert_eq!(bench.machine.next_step(bench.now().at), None);
    bench.see(Answer::Good);
    assert_eq!((bench.state(), bench.share()), (State::Starting, 100));
}

#[test]
fn an_agent_takes_out_and_back_and_what_it_does_not_say_stays() {
    let mut bench = Bench::new(rules(1, 1, 0));
    bench.see(Answer::Good);
    let asked = |asked| AgentWords {
        asked: Some(asked),
        ..SAYS_NOTHING
    };
    bench.hear(asked(Asked::Drain));
    assert_eq!(bench.state(), State::Drain);
    bench.hear(AgentWords {
        percent: Some(50),
        ..SAYS_NOTHING
    });
    assert_eq!((bench.state(), bench.share()), (State::Drain, 500));
    bench.hear(asked(Asked::Maintenance));
    assert_eq!(bench.state(), State::Maintenance);
    bench.hear(asked(Asked::Nothing));
    assert_eq!((bench.state(), bench.share()), (State::Up, 500));
    bench.hear(AgentWords {
        down: Some(true),
        ..SAYS_NOTHING
    });
    bench.see(Answer::Good);
    assert_eq!(bench.state(), State::Down, "both have to agree");
    bench.machine.forget(Role::Agent, bench.now());
    assert_eq!((bench.state(), bench.share()), (State::Up, WHOLE));
}

#[test]
fn no_weight_at_all_is_a_drain() {
    let mut bench = Bench::new(rules(1, 1, 0));
    bench.see(Answer::Good);
    bench.hear(AgentWords {
        percent: Some(0),
        ..SAYS_NOTHING
    });
    assert_eq!(bench.state(), State::Drain);
}

fn answers() -> impl Strategy<Value = Vec<Answer>> {
    let one = prop_oneof![
        3 => Just(Answer::Good),
        3 => Just(Answer::Bad),
        1 => Just(Answer::Inconclusive),
    ];
    prop::collection::vec(one, 0..200)
}

#[test]
fn a_slow_start_goes_on_after_a_restart_where_it_was() {
    let mut before = Bench::new(rules(1, 1, 10));
    for answer in [Answer::Good, Answer::Bad, Answer::Good] {
        before.wait(50_000);
        before.see(answer);
    }
    before.wait(5_000);
    assert_eq!(before.share(), 500);
    let saved = serde_json::to_string(before.machine.memory()).unwrap();
    let again = |later: u64, rules: Rules| {
        let mut bench = Bench::new(rules);
        bench.begun = Instant::now() - Duration::from_secs(3_600);
        bench.wait(before.gone.get() + later);
        let memory = serde_json::from_str(&saved).unwrap();
        bench.machine = Machine::resumed(memory, rules, bench.now());
        bench
    };
    let mut next = again(1_000, rules(1, 1, 10));
    assert_eq!((next.state(), next.share()), (State::Starting, 600));
    next.wait(4_000);
    let step = next.machine.advance(next.now()).unwrap();
    assert_eq!((step.from, step.to), (State::Starting, State::Up));
    assert_eq!(next.machine.memory().rises_since_unix_ms, None);
    // Over meanwhile, or not wanted any more: said at the first look.
    for mut late in [again(60_000, rules(1, 1, 10)), again(0, rules(1, 1, 0))] {
        assert_eq!((late.state(), late.share()), (State::Up, WHOLE));
        let step = late.machine.advance(late.now()).unwrap();
        assert_eq!((step.from, step.to), (State::Starting, State::Up));
    }
    // Somebody has set the clock back.
    let mut back = again(0, rules(1, 1, 10));
    back.gone.set(0);
    back.machine = Machine::resumed(
        before.machine.memory().clone(),
        back.machine.rules,
        back.now(),
    );
    assert_eq!((back.state(), back.share()), (State::Starting, 100));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Written from the description: the last `needed` conclusive answers decide.
    #[test]
    fn a_verdict_changes_exactly_with_enough_answers_in_a_row(
        rise in 1..6_u8, fall in 1..6_u8, answers in answers(),
    ) {
        let mut bench = Bench::new(rules(rise, fall, 0));
        let mut seen: Vec<Answer> = Vec::new();
        let mut expected = State::Unknown;
        for answer in answers {
            let before = bench.state();
            let step = bench.see(answer);
            if answer != Answer::Inconclusive {
                seen.push(answer);
            }
            let in_a_row = |wanted| seen.iter().rev().take_while(|seen| **seen == wanted).count();
            expected = match expected {
                State::Unknown if in_a_row(Answer::Good) >= 1 => State::Up,
                State::Down if in_a_row(Answer::Good) >= usize::from(rise) => State::Up,
                State::Up | State::Unknown if in_a_row(Answer::Bad) >= usize::from(fall) => {
                    State::Down
                }
                same => same,
            };
            prop_assert_eq!(bench.state(), expected);
            prop_assert_eq!(step.is_some(), before != expected);
        }
    }

    #[test]
    fn single_lost_probes_never_take_a_backend_down(
        fall in 2..6_u8, gaps in prop::collection::vec(1..5_usize, 1..50),
    ) {
        let mut bench = Bench::new(rules(2, fall, 0));
        for gap in gaps {
            for _ in 0..gap {
                bench.see(Answer::Good);
            }
            bench.see(Answer::Bad);
            prop_assert_eq!(bench.state(), State::Up);
        }
    }

    #[test]
    fn history_is_bounded_and_each_step_begins_where_the_last_one_ended(answers in answers()) {
        let mut bench = Bench::new(rules(1, 1, 3));
        for answer in answers {
            bench.see(answer);
            bench.wait(500);
            bench.machine.advance(bench.now());
        }
        let history = &bench.machine.memory().history;
        prop_assert!(history.len() <= HISTORY);
        for (a, b) in history.iter().zip(history.iter().skip(1)) {
            prop_assert_eq!(a.to, b.from);
            prop_assert!(a.unix_ms <= b.unix_ms && b.from != b.to);
        }
        prop_assert_eq!(history.back().map_or(State::Unknown, |step| step.to), bench.state());
    }

    #[test]
    fn weight_never_falls_while_it_rises(slow_start in 1..100_u64, waits in prop::collection::vec(0..5_000_u64, 1..100)) {
        let mut bench = Bench::new(rules(1, 1, slow_start));
        for answer in [Answer::Good, Answer::Bad, Answer::Good] {
            bench.see(answer);
        }
        let mut before = bench.share();
        for wait in waits {
            bench.wait(wait);
            bench.machine.advance(bench.now());
            let share = bench.share();
            prop_assert!(share >= before && (100..=WHOLE).contains(&share));
            let whole = bench.now().unix_ms >= slow_start * 1_000;
            prop_assert_eq!(share == WHOLE, whole);
            before = share;
        }
    }
}
