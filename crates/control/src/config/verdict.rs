//! What is to be said of a file, for programs.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Checked, ConfigError};

/// Whether a file is valid, and why not. New fields may be added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Nothing is wrong with it.
    pub valid: bool,
    /// Everything that is wrong with it, in its order.
    pub problems: Vec<FoundProblem>,
    /// What is worth a second look, one sentence each.
    pub warnings: Vec<String>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundProblem {
    /// The file's path as it was given.
    pub file: String,
    /// Counted from 1; `None` if the file could not be read.
    pub line: Option<usize>,
    /// In characters, counted from 1; `None` if the file could not be read.
    pub column: Option<usize>,
    /// What was found, e.g. `port 70000 is too large`.
    pub message: String,
    /// What was expected there; `None` if the file could not be read.
    pub expected: Option<String>,
    /// What to write instead, or why.
    pub help: Option<String>,
}

impl Verdict {
    /// Of what came of reading `file`.
    #[must_use]
    pub fn of(file: &Path, result: &Result<Checked, ConfigError>) -> Self {
        let warnings = result.as_ref().map(|checked| checked.warnings.clone());
        Self {
            valid: result.is_ok(),
            problems: result
                .as_ref()
                .err()
                .map_or_else(Vec::new, |e| found(file, e)),
            warnings: warnings.unwrap_or_default(),
        }
    }
}

fn found(file: &Path, error: &ConfigError) -> Vec<FoundProblem> {
    let file = file.display().to_string();
    let problems = match error {
        ConfigError::Unreadable { reason, help, .. } => {
            return vec![FoundProblem {
                file,
                line: None,
                column: None,
                message: format!("cannot read the configuration: {reason}"),
                expected: None,
                help: Some(help.clone()),
            }];
        }
        ConfigError::Invalid(problems) => problems,
    };
    let found = error.problems().iter().map(|problem| {
        let position = problems.position(problem);
        FoundProblem {
            file: file.clone(),
            line: position.map(|(line, _)| line),
            column: position.map(|(_, column)| column),
            message: problem.found.clone(),
            expected: Some(problem.expected.clone()),
            help: problem.help.clone(),
        }
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{load, parse};

    #[test]
    fn every_problem_has_its_place() {
        let path = Path::new("lb.toml");
        let text = "interfaces = []\n[nat]\naddres = 1\n[tunnel]\nttl = 0\n";
        let verdict = Verdict::of(path, &parse("lb.toml", text));
        let json = serde_json::to_value(&verdict).unwrap();
        let problem = |line: usize, column: usize, message: &str, expected: &str| {
            serde_json::json!({
                "file": "lb.toml",
                "line": line,
                "column": column,
                "message": message,
                "expected": expected,
            })
        };
        let mut expected = [
            problem(
                3,
                1,
                "unknown field `addres` in nat",
                "expected one of address, address6, ports",
            ),
            problem(5, 7, "`ttl` is 0", "expected an integer from 1 to 255"),
        ];
        expected[0]["help"] = "did you mean `address`?".into();
        expected[1]["help"] = serde_json::Value::Null;
        assert_eq!(
            (&json["valid"], &json["warnings"]),
            (&false.into(), &serde_json::json!([]))
        );
        assert_eq!(json["problems"], serde_json::json!(expected));
    }

    #[test]
    fn a_valid_file_has_warnings_at_most() {
        let verdict = Verdict::of(Path::new("lb.toml"), &parse("lb.toml", ""));
        assert_eq!((verdict.valid, verdict.problems.len()), (true, 0));
        assert_eq!(verdict.warnings.len(), 1);
    }

    #[test]
    fn a_file_that_is_not_there_is_a_problem_without_a_place() {
        let path = Path::new("/nowhere/lb.toml");
        let verdict = Verdict::of(path, &load(path));
        let [problem] = &verdict.problems[..] else {
            panic!("{verdict:?}")
        };
        assert_eq!(
            (problem.line, problem.file.as_str()),
            (None, "/nowhere/lb.toml")
        );
        assert!(problem.message.ends_with("there is no such file"));
        assert!(!verdict.valid);
    }
}
