//! Local model files and runtimes
