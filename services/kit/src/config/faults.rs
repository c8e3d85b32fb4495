//! Checks that go on after the first fault.

use super::Problem;
use crate::Failure;

/// The faults that checks have found so far, in their order.
#[derive(Debug, Default)]
pub struct Faults(Vec<Failure>);

impl Faults {
    /// Keeps the fault, if it is one; else returns what was found good.
    pub fn keep<T>(&mut self, checked: Result<T, Failure>) -> Option<T> {
        checked.map_err(|fault| self.0.push(fault)).ok()
    }

    /// For who can use all or nothing.
    ///
    /// # Errors
    /// The first fault, if there is one.
    pub fn first(self) -> Result<(), Failure> {
        self.0.into_iter().next().map_or(Ok(()), Err)
    }

    /// All of them, for who reads a configuration.
    #[must_use]
    pub fn into_problems(self) -> Vec<Problem> {
        self.0.into_iter().map(Problem::from).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_kept_in_order_and_its_path_is_said_once() {
        let mut faults = Faults::default();
        assert_eq!(faults.keep(Ok(1)), Some(1));
        for field in ["b", "a"] {
            assert_eq!(
                faults.keep::<()>(Err(Failure::invalid(field, format!("{field} must be good")))),
                None
            );
        }
        let problems = faults.into_problems();
        assert_eq!(problems, [Problem::new("b", "must be good"), Problem::new("a", "must be good")]);
    }

    #[test]
    fn the_first_fault_stands_for_all() {
        assert_eq!(Faults::default().first(), Ok(()));
        let mut faults = Faults::default();
        faults.keep::<()>(Err(Failure::invalid("b", "bad")));
        faults.keep::<()>(Err(Failure::invalid("a", "bad")));
        assert_eq!(faults.first().unwrap_err().metadata["field"], "b");
    }
}
