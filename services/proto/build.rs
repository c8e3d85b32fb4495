//! Compiles `proto/` in pure Rust and gives messages with sensitive fields a `Debug` that hides them.

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use prost_reflect::{DescriptorPool, MessageDescriptor};

#[path = "build/stubs.rs"]
mod stubs;

const SENSITIVE: &str = "headgate.common.v1.sensitive";

#[expect(clippy::disallowed_methods, reason = "cargo tells a build script by environment only")]
fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    println!("cargo:rerun-if-changed={}", root.display());
    let mut files = Vec::new();
    collect(&root.join("headgate"), &mut files)?;
    files.sort();

    let mut compiler = protox::Compiler::new([&root])?;
    compiler.include_imports(true).include_source_info(true).open_files(&files)?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    // protox's own encoding keeps the options that prost would drop.
    fs::write(out.join("descriptor.bin"), compiler.encode_file_descriptor_set())?;
    compiler.include_source_info(false);
    fs::write(out.join("uncommented.bin"), compiler.encode_file_descriptor_set())?;
    compiler.include_source_info(true);

    let pool = compiler.descriptor_pool();
    let sensitive: Vec<_> = pool.all_messages().filter(|m| hides_something(m, &pool)).collect();
    let mut config = prost_build::Config::new();
    config.bytes(["."]);
    // A request's type tells which call it is for.
    config.enable_type_names();
    config.skip_debug(sensitive.iter().map(|m| format!(".{}", m.full_name())));
    config.service_generator(Box::new(stubs::WithStubs(tonic_prost_build::configure().service_generator())));
    config.compile_fds(compiler.file_descriptor_set())?;
    fs::write(out.join("redacted_debug.rs"), redacted_debug(&sensitive, &pool)?)?;
    Ok(())
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|e| e == "proto") {
            files.push(path);
        }
    }
    Ok(())
}

fn hides_something(message: &MessageDescriptor, pool: &DescriptorPool) -> bool {
    message.fields().any(|f| is_sensitive(&f, pool))
}

fn is_sensitive(field: &prost_reflect::FieldDescriptor, pool: &DescriptorPool) -> bool {
    pool.get_extension_by_name(SENSITIVE)
        .is_some_and(|e| field.options().get_extension(&e).as_bool() == Some(true))
}

fn redacted_debug(messages: &[MessageDescriptor], pool: &DescriptorPool) -> Result<String, Box<dyn Error>> {
    let mut code = String::new();
    for message in messages {
        let path = message.package_name().replace('.', "::").replace("headgate::", "crate::");
        let name = message.name();
        writeln!(code, "impl ::core::fmt::Debug for {path}::{name} {{")?;
        writeln!(code, "    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {{")?;
        writeln!(code, "        f.debug_struct(\"{name}\")")?;
        for field in message.fields() {
            let field_name = field.name();
            let value = if is_sensitive(&field, pool) {
                "&::core::format_args!(\"[redacted]\")".to_owned()
            } else {
                format!("&self.{field_name}")
            };
            writeln!(code, "            .field(\"{field_name}\", {value})")?;
        }
        writeln!(code, "            .finish()\n    }}\n}}")?;
    }
    Ok(code)
}
