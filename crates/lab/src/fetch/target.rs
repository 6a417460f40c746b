//! Where a request goes: `http://ADDRESS:PORT/PATH`.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use crate::error::Error;

/// A URL of the plain kind, with a literal address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Address and port.
    pub address: SocketAddr,
    /// Path, with its slash.
    pub path: String,
}

impl Target {
    /// The root page of a server.
    #[must_use]
    pub fn root(address: SocketAddr) -> Self {
        Self {
            address,
            path: "/".to_owned(),
        }
    }

    /// Another page of the same server.
    #[must_use]
    pub fn at(&self, path: impl Into<String>) -> Self {
        Self {
            address: self.address,
            path: path.into(),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.address, self.path)
    }
}

impl FromStr for Target {
    type Err = Error;

    fn from_str(url: &str) -> Result<Self, Error> {
        let rest = url.strip_prefix("http://").unwrap_or(url);
        let (authority, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
        let bare = authority.trim_start_matches('[').trim_end_matches(']');
        let address = authority
            .parse()
            .or_else(|_| bare.parse::<IpAddr>().map(|address| SocketAddr::new(address, 80)))
            .map_err(|_| {
                Error::Tool(format!(
                    "`{url}` is not a URL this client takes: expected http://ADDRESS:PORT/PATH with a numeric address, such as http://10.0.0.10:8000/"
                ))
            })?;
        Ok(Self {
            address,
            path: path.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_understood_or_refused() {
        let good = [
            ("http://10.0.0.10:8000/", "http://10.0.0.10:8000/"),
            ("10.0.0.10:8000", "http://10.0.0.10:8000/"),
            ("http://10.0.0.10/bytes/5", "http://10.0.0.10:80/bytes/5"),
            ("http://[::1]:8000/a", "http://[::1]:8000/a"),
            ("http://[::1]/", "http://[::1]:80/"),
        ];
        for (url, meant) in good {
            assert_eq!(url.parse::<Target>().unwrap().to_string(), meant);
        }
        for bad in [
            "",
            "http://",
            "https://10.0.0.1/",
            "http://name/",
            "http://10.0.0.1:99999/",
        ] {
            assert!(bad.parse::<Target>().is_err(), "{bad}");
        }
    }
}
