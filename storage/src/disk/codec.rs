//! Numbers, strings and lists as bytes, little-endian, and back.
//!
//! Invariant: a reader never reads past its bytes and never allocates more than they can hold, whatever they say.
//! Next: `layout.rs`.

use bytes::Bytes;

/// What is wrong with bytes that were to be read.
pub(crate) type Malformed = String;

/// Appends values to bytes.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    pub(crate) fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn i64(&mut self, value: i64) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// A length or a count.
    pub(crate) fn len(&mut self, value: usize) {
        self.u64(value as u64);
    }

    /// Bytes behind their length.
    pub(crate) fn bytes(&mut self, value: &[u8]) {
        self.len(value.len());
        self.bytes.extend_from_slice(value);
    }

    /// A string behind its length.
    pub(crate) fn text(&mut self, value: &str) {
        self.bytes(value.as_bytes());
    }

    /// Bytes whose length the reader knows.
    pub(crate) fn raw(&mut self, value: &[u8]) {
        self.bytes.extend_from_slice(value);
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

/// Takes values off the front of bytes.
#[derive(Debug)]
pub(crate) struct Reader {
    bytes: Bytes,
}

impl Reader {
    pub(crate) fn new(bytes: Bytes) -> Self {
        Self { bytes }
    }

    /// The next `count` bytes, shared.
    pub(crate) fn raw(&mut self, count: usize) -> Result<Bytes, Malformed> {
        if count > self.bytes.len() {
            return Err(format!("{count} bytes are missing where {} are left", self.bytes.len()));
        }
        Ok(self.bytes.split_to(count))
    }

    /// Bytes of a number.
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let raw = self.raw(N)?;
        <[u8; N]>::try_from(raw.as_ref()).map_err(|error| error.to_string())
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn i64(&mut self) -> Result<i64, Malformed> {
        self.array().map(i64::from_le_bytes)
    }

    /// A length or number of rows, as a `usize`.
    pub(crate) fn len(&mut self) -> Result<usize, Malformed> {
        let value = self.u64()?;
        usize::try_from(value).map_err(|_| format!("a length of {value}"))
    }

    /// How many entries follow, each of at least `size` bytes.
    pub(crate) fn count(&mut self, size: usize) -> Result<usize, Malformed> {
        let count = self.len()?;
        match count.checked_mul(size.max(1)) {
            Some(bytes) if bytes <= self.bytes.len() => Ok(count),
            _ => Err(format!("{count} entries do not fit {} bytes", self.bytes.len())),
        }
    }

    pub(crate) fn bytes(&mut self) -> Result<Bytes, Malformed> {
        let count = self.len()?;
        self.raw(count)
    }

    pub(crate) fn text(&mut self) -> Result<String, Malformed> {
        String::from_utf8(self.bytes()?.to_vec()).map_err(|error| error.to_string())
    }

    /// A list of entries of at least `size` bytes.
    pub(crate) fn list<T>(
        &mut self,
        size: usize,
        mut entry: impl FnMut(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Malformed> {
        let count = self.count(size)?;
        (0..count).map(|_| entry(self)).collect()
    }

    /// That nothing is left.
    pub(crate) fn end(&self) -> Result<(), Malformed> {
        match self.bytes.len() {
            0 => Ok(()),
            left => Err(format!("{left} bytes too many")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        let mut writer = Writer::default();
        writer.u8(7);
        writer.u32(8);
        writer.u64(u64::MAX);
        writer.i64(-9);
        writer.text("stoa");
        writer.len(2);
        writer.u32(1);
        writer.u32(2);
        writer.finish()
    }

    /// The values of a sample, in its order.
    fn read(bytes: Vec<u8>) -> Result<String, Malformed> {
        let mut reader = Reader::new(bytes.into());
        let mut values = format!("{} {} ", reader.u8()?, reader.u32()?);
        values += &format!("{} {} {} ", reader.u64()?, reader.i64()?, reader.text()?);
        values += &format!("{:?}", reader.list(4, Reader::u32)?);
        reader.end()?;
        Ok(values)
    }

    #[test]
    fn test_what_is_written_is_read() {
        assert_eq!(read(sample()), Ok(format!("7 8 {} -9 stoa [1, 2]", u64::MAX)));
    }

    #[test]
    fn test_short_long_and_lying_bytes_are_refused() {
        let sample = sample();
        for length in 0..sample.len() {
            assert!(read(sample[..length].to_vec()).is_err(), "{length}");
        }
        assert!(read([&sample[..], &[0]].concat()).is_err());
        let mut reader = Reader::new(u64::MAX.to_le_bytes().to_vec().into());
        assert!(reader.list(1, Reader::u8).unwrap_err().contains("do not fit"));
        let mut reader = Reader::new(u64::MAX.to_le_bytes().to_vec().into());
        assert!(reader.bytes().is_err());
    }
}
