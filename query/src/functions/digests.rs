//! Digests of texts and blobs: md5, sha1 and the sha2 family, and a fast hash of any value.
//!
//! Invariant: digests are hexadecimal digits in lower case; `hash` is the same within one version of StoaDB only.

use std::hash::{Hash, Hasher};

use arrow::{
    array::ArrayRef,
    util::display::{ArrayFormatter, FormatOptions},
};
use datafusion_common::{Result, exec_err};
use md5::{Digest, Md5};

use super::{BLOB, Call, Def, TEXT, UBIGINT};

pub(super) const TABLE: &[Def] = &[
    Def { name: "md5", aliases: &[], takes: "bytes", gives: TEXT, body: hex::<Md5> },
    Def { name: "sha1", aliases: &[], takes: "bytes", gives: TEXT, body: hex::<sha1::Sha1> },
    Def { name: "sha224", aliases: &[], takes: "bytes", gives: TEXT, body: hex::<sha2::Sha224> },
    Def { name: "sha256", aliases: &[], takes: "bytes", gives: TEXT, body: hex::<sha2::Sha256> },
    Def { name: "sha384", aliases: &[], takes: "bytes", gives: TEXT, body: hex::<sha2::Sha384> },
    Def { name: "sha512", aliases: &[], takes: "bytes", gives: TEXT, body: hex::<sha2::Sha512> },
    Def { name: "digest", aliases: &[], takes: "bytes text", gives: BLOB, body: digest },
    Def { name: "hash", aliases: &[], takes: "any any*", gives: UBIGINT, body: hash },
];

fn hex<D: Digest>(call: &Call) -> Result<ArrayRef> {
    let bytes = call.bytes(0)?;
    call.give_texts(|row| {
        let digest = bytes.at(row).map(D::digest);
        Ok(digest.map(|digest| digest.iter().map(|b| format!("{b:02x}")).collect::<String>()))
    })
}

fn digest(call: &Call) -> Result<ArrayRef> {
    let (bytes, names) = (call.bytes(0)?, call.texts(1)?);
    call.give_blobs(|row| {
        let (Some(bytes), Some(name)) = (bytes.at(row), names.at(row)) else { return Ok(None) };
        Ok(Some(match name.to_ascii_lowercase().as_str() {
            "md5" => Md5::digest(bytes).to_vec(),
            "sha1" => sha1::Sha1::digest(bytes).to_vec(),
            "sha224" => sha2::Sha224::digest(bytes).to_vec(),
            "sha256" => sha2::Sha256::digest(bytes).to_vec(),
            "sha384" => sha2::Sha384::digest(bytes).to_vec(),
            "sha512" => sha2::Sha512::digest(bytes).to_vec(),
            _ => {
                return exec_err!(
                    "there is no digest '{name}'; there are md5, sha1, sha224, sha256, sha384 and sha512"
                );
            }
        }))
    })
}

/// FNV-1a with a finish that mixes all bits: the same on every machine.
struct Fnv(u64);

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        let mut hash = self.0;
        hash = (hash ^ hash >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
        hash = (hash ^ hash >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        hash ^ hash >> 33
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

/// A number for the values of a row; equal texts and numbers of any type have equal ones.
fn hash(call: &Call) -> Result<ArrayRef> {
    let options = FormatOptions::default().with_null("\u{0}");
    let shown = call.args.iter().map(|array| ArrayFormatter::try_new(array.as_ref(), &options));
    let shown = shown.collect::<Result<Vec<_>, _>>()?;
    call.give_numbers::<arrow::datatypes::UInt64Type>(|row| {
        let mut hasher = Fnv(0xcbf2_9ce4_8422_2325);
        for (at, shown) in shown.iter().enumerate() {
            shown.value(call.place(at, row)).try_to_string()?.hash(&mut hasher);
        }
        Ok(Some(hasher.finish()))
    })
}
