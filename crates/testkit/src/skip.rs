//! Tests that cannot be made on every machine.

/// Says that something is not tested here, and why.
///
/// # Panics
/// `EVENKEEL_NO_SKIP` is set: everything that the tests need was to be here.
pub fn skipped(why: &str) {
    assert!(
        std::env::var_os("EVENKEEL_NO_SKIP").is_none(),
        "{why}: expected it, as EVENKEEL_NO_SKIP is set; install it, or unset that to go without"
    );
    eprintln!("not tested: {why}");
}
