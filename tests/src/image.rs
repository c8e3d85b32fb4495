//! The container image of the binary under test.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::repo;
use crate::servers::dockerd::Engine;

static MADE: AtomicU32 = AtomicU32::new(0);

/// An image at an engine. Removed when dropped.
pub struct Image {
    engine: Engine,
    name: String,
}

impl Image {
    /// Makes it of the binary, as `deploy/image.sh` does for everybody.
    ///
    /// # Panics
    /// When there is no engine, or the image cannot be made.
    pub async fn build() -> Self {
        let engine = Engine::start().await;
        let name = format!("headgate-test-{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let mut script = engine.tell(Command::new(repo::root().join("deploy/image.sh")));
        let built = script.arg(repo::binary()).arg(&name).output().expect("a script");
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        Self { engine, name }
    }

    /// The engine that has it.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// What it is called there.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        // An engine that is gone has no image.
        drop(self.engine.command(&["rmi", "--force", &self.name]).output());
    }
}
