//! The scripts. Each is sent once and then called by its hash; a server that lost it is sent it again.

use std::sync::LazyLock;

use redis::Script;

/// Every script.
pub(super) static SCRIPTS: LazyLock<Scripts> = LazyLock::new(Scripts::new);

const BASE: &str = include_str!("lua/base.lua");
const AMOUNTS: &str = include_str!("lua/amounts.lua");
const METERS: &str = include_str!("lua/meters.lua");
const LEASES: &str = include_str!("lua/leases.lua");

pub(super) struct Scripts {
    pub(super) admit: Script,
    pub(super) extend: Script,
    pub(super) settle: Script,
    pub(super) book: Script,
    pub(super) reap: Script,
    pub(super) written: Script,
    pub(super) known: Script,
    pub(super) seed: Script,
    pub(super) release: Script,
    pub(super) forget: Script,
}

impl Scripts {
    fn new() -> Self {
        let of = |parts: &[&str]| Script::new(&parts.concat());
        let leases = |script| of(&[BASE, AMOUNTS, METERS, LEASES, script]);
        Self {
            admit: of(&[BASE, AMOUNTS, METERS, include_str!("lua/admit.lua")]),
            extend: of(&[BASE, include_str!("lua/extend.lua")]),
            settle: leases(include_str!("lua/settle.lua")),
            book: leases(include_str!("lua/book.lua")),
            reap: leases(include_str!("lua/reap.lua")),
            written: leases(include_str!("lua/written.lua")),
            known: of(&[BASE, include_str!("lua/known.lua")]),
            seed: of(&[BASE, include_str!("lua/seed.lua")]),
            release: leases(include_str!("lua/release.lua")),
            forget: of(&[BASE, include_str!("lua/forget.lua")]),
        }
    }
}
