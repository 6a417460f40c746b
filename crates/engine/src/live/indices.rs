//! Numbers of services and backends in the maps.

/// Numbers below a limit; the ones that were given back longest ago are used again first.
#[derive(Clone, Debug)]
pub(crate) struct Indices {
    limit: u32,
    next: u32,
    free: std::collections::VecDeque<u32>,
}

impl Indices {
    pub(crate) fn new(limit: u32) -> Self {
        Self {
            limit,
            next: 0,
            free: std::collections::VecDeque::new(),
        }
    }

    /// Those from `next` on.
    pub(crate) fn from(limit: u32, next: u32) -> Self {
        Self {
            next,
            ..Self::new(limit)
        }
    }

    /// There is room for more.
    pub(crate) fn raise(&mut self, limit: u32) {
        self.limit = self.limit.max(limit);
    }

    /// A number that nobody has, or the limit if all are taken.
    pub(crate) fn take(&mut self) -> Result<u32, u32> {
        // Fresh ones first: the longer a number rests the better.
        if self.next < self.limit {
            self.next += 1;
            return Ok(self.next - 1);
        }
        self.free.pop_front().ok_or(self.limit)
    }

    /// Takes a number back.
    pub(crate) fn give(&mut self, index: u32) {
        self.free.push_back(index);
    }

    /// How many nobody has.
    #[cfg(test)]
    pub(crate) fn free(&self) -> usize {
        self.free.len() + (self.limit - self.next) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_rests_as_long_as_there_are_others() {
        let mut indices = Indices::new(3);
        assert_eq!((indices.take(), indices.take()), (Ok(0), Ok(1)));
        indices.give(0);
        assert_eq!(indices.take(), Ok(2));
        indices.give(1);
        assert_eq!([(); 3].map(|()| indices.take()), [Ok(0), Ok(1), Err(3)]);
    }
}
