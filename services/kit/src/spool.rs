//! stub (a colleague is writing this)
use bytes::Bytes;
use std::path::PathBuf;
use uuid::Uuid;
/// Options
#[derive(Clone, Debug)]
pub struct Options {
    /// dir
    pub dir: PathBuf,
    /// bytes
    pub segment_bytes: u64,
    /// bytes
    pub cap_bytes: u64,
    /// names
    pub consumers: Vec<String>,
}
/// Error
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// full
    #[error("the spool is full")]
    Full,
    /// io
    #[error("spool: {0}")]
    Io(#[from] std::io::Error),
}
/// Unfinished
#[derive(Clone, Debug)]
pub struct OpenEntry {
    /// key
    pub key: Uuid,
    /// begin record
    pub begun: Bytes,
    /// last note
    pub note: Option<Bytes>,
}
/// Spool
#[derive(Clone, Debug)]
pub struct Spool;
impl Spool {
    /// open
    pub fn open(_o: Options) -> Result<(Self, Vec<OpenEntry>), SpoolError> {
        Err(SpoolError::Full)
    }
    /// begin
    pub fn begin(&self, _k: Uuid, _r: &[u8]) -> Result<(), SpoolError> {
        Err(SpoolError::Full)
    }
    /// note
    pub fn note(&self, _k: Uuid, _r: &[u8]) -> Result<(), SpoolError> {
        Err(SpoolError::Full)
    }
    /// end
    pub fn end(&self, _k: Uuid, _r: &[u8]) -> Result<(), SpoolError> {
        Err(SpoolError::Full)
    }
    /// reader
    pub fn reader(&self, _c: &str) -> Result<Reader, SpoolError> {
        Err(SpoolError::Full)
    }
    /// sync forever
    pub async fn run(self, _stop: tokio_util::sync::CancellationToken) {}
    /// bytes
    pub fn size_bytes(&self) -> u64 {
        0
    }
}
/// Reader
#[derive(Debug)]
pub struct Reader;
impl Reader {
    /// next
    pub async fn next(&mut self, _max: usize) -> Result<(Vec<Bytes>, u64), SpoolError> {
        Err(SpoolError::Full)
    }
    /// ack
    pub fn ack(&mut self, _p: u64) -> Result<(), SpoolError> {
        Err(SpoolError::Full)
    }
    /// lag
    pub fn lag(&self) -> u64 {
        0
    }
}
