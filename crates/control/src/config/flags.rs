//! One service from command-line flags.

use engine::desired::ForwardingMode;

use super::Checked;
use super::check::check;
use super::file::short;
use super::limits::MAX_WEIGHT;
use super::problem::{ConfigError, Problem};
use super::raw::{At, RawConfig, RawHealth, RawService, Word};
use super::source::{Source, Span};
use super::words;

/// What the flags of `run` said, word for word.
#[derive(Clone, Copy, Debug, Default)]
pub struct FlagInput<'a> {
    /// The positional `IFACE...`.
    pub interfaces: &'a [String],
    /// `--service tcp://ADDRESS:PORT`.
    pub service: &'a str,
    /// `--mode nat`.
    pub mode: Option<&'a str>,
    /// `--backend ADDRESS[:PORT][@MAC]`, repeated.
    pub backends: &'a [String],
    /// `--weight N`, repeated: either none, or one for each backend in the order of the backends.
    pub weights: &'a [String],
    /// `--health TYPE`.
    pub health: Option<&'a str>,
}

/// Checks one service given by flags; everything that has no flag has its default.
///
/// # Errors
/// Everything that is wrong with them, each with its flag.
pub fn from_flags(input: FlagInput<'_>) -> Result<Checked, ConfigError> {
    let mut line = CommandLine::default();
    let interfaces = line.add_all("", input.interfaces);
    let service = line.add("--service ", input.service);
    let mode = input.mode.map(|mode| line.add("--mode ", mode));
    let backends = line.add_all("--backend ", input.backends);
    let weights = line.add_all("--weight ", input.weights);
    let health = input.health.map(|health| line.add("--health ", health));

    let text = line.text;
    let word = |span: &Span| Word {
        text: &text[span.clone()],
        span: span.clone(),
        start: Some(span.start),
    };
    let mut problems = Vec::new();
    let weights = self::weights(
        &weights.iter().map(word).collect::<Vec<_>>(),
        backends.len(),
        &mut problems,
    );
    let raw_backends = backends
        .iter()
        .enumerate()
        .filter_map(|(index, span)| {
            let mut backend = word(span).backend(&mut problems)?;
            backend.weight = weights.get(index).copied().unwrap_or(1);
            Some(backend)
        })
        .collect();
    let mut choose = |span| word(&span).choose("mode", &ForwardingMode::ALL, &mut problems);
    let mode = match mode {
        Some(span) => choose(span).map(|at| at.value),
        None => Some(ForwardingMode::default()),
    };
    let raw_service = RawService {
        id: word(&service).parse(words::service_id, &mut problems),
        mode,
        backends: raw_backends,
        has_backends: !backends.is_empty(),
        health: RawHealth::of(health.map(|span| short(&word(&span), &mut problems))),
        span: service,
        ..RawService::default()
    };
    let raw = RawConfig {
        interfaces: interfaces
            .into_iter()
            .map(|span| At {
                value: text[span.clone()].to_owned(),
                span,
            })
            .collect(),
        services: vec![raw_service.into()],
        ..RawConfig::default()
    };
    let source = Source::new(None, text.clone());
    check(source, &raw, problems)
}

/// The flags as a text, one a line, so that problems can point into them.
#[derive(Default)]
struct CommandLine {
    text: String,
}

impl CommandLine {
    /// Adds a line; returns where the value stands.
    fn add(&mut self, flag: &str, value: &str) -> Span {
        self.text.push_str(flag);
        let start = self.text.len();
        // A value with a line break would make two lines of one flag.
        self.text
            .extend(value.chars().map(|c| if c == '\n' { ' ' } else { c }));
        let end = self.text.len();
        self.text.push('\n');
        start..end
    }

    fn add_all(&mut self, flag: &str, values: &[String]) -> Vec<Span> {
        values.iter().map(|value| self.add(flag, value)).collect()
    }
}

fn weights(words: &[Word<'_>], backends: usize, problems: &mut Vec<Problem>) -> Vec<u32> {
    if let Some(word) = words.get(backends).or(words.last())
        && words.len() != backends
    {
        problems.push(
            Problem::new(
                word.span.clone(),
                format!("{} --weight for {backends} --backend", words.len()),
                "expected one --weight for each --backend, or none at all",
            )
            .help("they go together in order: the first --weight belongs to the first --backend"),
        );
    }
    words
        .iter()
        .map(|word| match word.text.parse::<u32>() {
            Ok(weight) if weight <= MAX_WEIGHT => weight,
            _ => {
                problems.push(Problem::new(
                    word.span.clone(),
                    format!("{:?} is not a weight", word.text),
                    format!("expected an integer from 0 to {MAX_WEIGHT}"),
                ));
                1
            }
        })
        .collect()
}
