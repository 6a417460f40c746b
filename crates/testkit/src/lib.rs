//! evenkeel-testkit
