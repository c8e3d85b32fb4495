//! Headgate's protobuf contract: messages, clients and servers generated from `proto/`, and stubs that call a
//! server of the same process without encoding (see [`direct`]).
//!
//! Owns nothing but the generated code. Promises that a message's `Debug` never shows a field marked
//! `(headgate.common.v1.sensitive)`, and that [`FILE_DESCRIPTOR_SET`] is the contract with options and comments.

pub mod direct;

use std::sync::LazyLock;

use prost_reflect::{DescriptorError, DescriptorPool};

/// Generated code is documented in the protos it comes from.
macro_rules! area {
    ($area:ident) => {
        #[doc = concat!("Package `headgate.", stringify!($area), ".v1`.")]
        pub mod $area {
            /// Version 1.
            #[allow(
                clippy::all,
                missing_docs,
                clippy::allow_attributes,
                reason = "generated; its comments stand in proto/"
            )]
            pub mod v1 {
                include!(concat!(env!("OUT_DIR"), "/headgate.", stringify!($area), ".v1.rs"));
            }
        }
    };
}

area!(adapter);
area!(auth);
area!(budget);
area!(catalog);
area!(common);
area!(inference);
area!(record);
area!(router);
area!(runtime);
area!(usage);

include!(concat!(env!("OUT_DIR"), "/redacted_debug.rs"));

/// Every proto file of the contract and what they import, encoded as `google.protobuf.FileDescriptorSet`.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptor.bin"));

/// The same without comments and places in files, which are most of it.
const UNCOMMENTED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/uncommented.bin"));

static DESCRIPTORS: LazyLock<Result<DescriptorPool, DescriptorError>> =
    LazyLock::new(|| DescriptorPool::decode(UNCOMMENTED));

/// The contract for those who look things up in it: with its options, without its comments, which stand in
/// [`FILE_DESCRIPTOR_SET`]. Read once for the whole process, as it is megabytes.
///
/// # Errors
/// When the contract is none, which is a fault of the build.
pub fn descriptors() -> Result<&'static DescriptorPool, &'static DescriptorError> {
    DESCRIPTORS.as_ref()
}

/// A moment, of milliseconds since 1970-01-01 UTC, as the contract shows it.
#[must_use]
pub fn timestamp(unix_ms: i64) -> prost_types::Timestamp {
    let nanos = i32::try_from(unix_ms.rem_euclid(1000) * 1_000_000).unwrap_or(0);
    prost_types::Timestamp { seconds: unix_ms.div_euclid(1000), nanos }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prost_reflect::{FileDescriptor, MethodDescriptor};

    use super::auth::v1::VerifyApiKeyRequest;
    use super::*;

    #[test]
    fn what_is_looked_up_is_the_contract_without_its_comments() {
        let commented = DescriptorPool::decode(FILE_DESCRIPTOR_SET).unwrap();
        let uncommented = descriptors().unwrap();
        assert_eq!(names(uncommented), names(&commented));
        let is_commented = |file: FileDescriptor| file.file_descriptor_proto().source_code_info.is_some();
        assert!(commented.files().any(is_commented) && !uncommented.files().any(is_commented));
        let http = uncommented.get_extension_by_name("google.api.http").unwrap();
        let served = |method: &MethodDescriptor| method.options().has_extension(&http);
        assert!(uncommented.services().any(|service| service.methods().any(|method| served(&method))));
    }

    fn names(pool: &DescriptorPool) -> BTreeSet<String> {
        let fields = pool.all_messages().flat_map(|message| message.fields().collect::<Vec<_>>());
        fields.map(|field| field.full_name().to_owned()).collect()
    }

    #[test]
    fn sensitive_fields_are_not_printed() {
        let request = VerifyApiKeyRequest { api_key: "sk-planted.secret".into() };
        assert_eq!(format!("{request:?}"), "VerifyApiKeyRequest { api_key: [redacted] }");
    }
}
