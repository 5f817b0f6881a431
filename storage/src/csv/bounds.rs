//! Where morsels begin: the state of the splitter at fixed offsets of a file.
//!
//! How: a line end within quotes ends no record, so whoever opens a morsel must know whether its first byte is quoted.
//! The states are found in order, each from the one before by a search for quotes alone, and kept; the first worker that
//! needs one finds it. Invariant: `advance` and `split.rs` agree on what a quote is, for every input that `split.rs`
//! accepts.
//! Next: `scan.rs`.

use super::options::Dialect;

/// What the splitter is in the middle of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// A record begins here.
    Record,
    /// A field begins here (perhaps after blanks).
    Field,
    /// Inside of an unquoted field, or behind a closing quote.
    Plain,
    /// Inside of quotes.
    Quoted,
    /// Behind a quote within quotes: the end of the text, or the first half of an escape.
    Quote,
    /// Behind an escape within quotes.
    Escape,
}

/// The state after some bytes.
pub(crate) fn advance(mut state: State, bytes: &[u8], dialect: &Dialect) -> State {
    let Some(quote) = dialect.quote else { return plain_end(state, bytes, 0, dialect) };
    let mut at = 0;
    while at < bytes.len() {
        match state {
            State::Record | State::Field | State::Plain => {
                let found = memchr::memchr(quote, &bytes[at..]).map(|found| at + found);
                let Some(found) = found else { return plain_end(state, bytes, at, dialect) };
                state = match plain_end(state, &bytes[..found], at, dialect) {
                    State::Plain => State::Plain,
                    _ => State::Quoted,
                };
                at = found + 1;
            }
            State::Quoted => {
                let rest = &bytes[at..];
                let found = match dialect.escape {
                    Some(escape) if escape != quote => memchr::memchr2(quote, escape, rest),
                    _ => memchr::memchr(quote, rest),
                };
                let Some(found) = found else { return State::Quoted };
                state = match rest[found] == quote {
                    true => State::Quote,
                    false => State::Escape,
                };
                at += found + 1;
            }
            State::Quote => {
                if bytes[at] == quote && dialect.escape == Some(quote) {
                    state = State::Quoted;
                } else {
                    state = plain_end(State::Plain, &bytes[..=at], at, dialect);
                }
                at += 1;
            }
            State::Escape => {
                state = State::Quoted;
                at += 1;
            }
        }
    }
    state
}

/// The state at the end of bytes without quotes, of which those from `from` on are new.
fn plain_end(state: State, bytes: &[u8], from: usize, dialect: &Dialect) -> State {
    let blanks = bytes[from..].iter().rev().take_while(|&&byte| dialect.blanks(byte)).count();
    let end = bytes.len() - blanks;
    match bytes[from..end].last() {
        // Only blanks, or nothing: a field that begins goes on beginning.
        None if blanks > 0 && state == State::Record => State::Field,
        None => state,
        Some(&byte) if byte == dialect.line_end && blanks == 0 => State::Record,
        Some(&byte) if byte == dialect.line_end || byte == dialect.delimiter => State::Field,
        Some(_) => State::Plain,
    }
}

/// Where the first record begins at or behind the start of bytes that are in `state`; `None` when not among them.
pub(crate) fn first_record(state: State, bytes: &[u8], dialect: &Dialect) -> Option<usize> {
    let (mut state, mut at) = (state, 0);
    while state != State::Record {
        let line_end = at + memchr::memchr(dialect.line_end, bytes.get(at..)?)?;
        state = advance(state, &bytes[at..=line_end], dialect);
        at = line_end + 1;
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dialect(escape: u8) -> Dialect {
        Dialect {
            delimiter: b',',
            quote: Some(b'"'),
            escape: Some(escape),
            comment: None,
            line_end: b'\n',
        }
    }

    #[test]
    fn test_states_do_not_depend_on_the_cuts() {
        let text = b"a, \"b\n\"\"\",c\"d\n \"x\\\"\n,\n\"\"\n\n\"\"\"\"\n5\" x,\"y\" ,z\n";
        for escape in [b'"', b'\\'] {
            let dialect = dialect(escape);
            for end in 0..=text.len() {
                let whole = advance(State::Record, &text[..end], &dialect);
                for cut in 0..=end {
                    let half = advance(State::Record, &text[..cut], &dialect);
                    let both = advance(half, &text[cut..end], &dialect);
                    assert_eq!(both, whole, "escape {escape}, {cut} of {end}");
                }
            }
        }
    }

    #[test]
    fn test_first_record_steps_over_quoted_line_ends() {
        let dialect = dialect(b'"');
        assert_eq!(first_record(State::Record, b"x\n", &dialect), Some(0));
        assert_eq!(first_record(State::Plain, b"x\ny", &dialect), Some(2));
        assert_eq!(first_record(State::Quoted, b"x\ny\"\nz", &dialect), Some(5));
        assert_eq!(first_record(State::Quote, b"\"\n\"\nz", &dialect), Some(4));
        assert_eq!(first_record(State::Quote, b"\nz", &dialect), Some(1));
        assert_eq!(first_record(State::Field, b"\"\n", &dialect), None);
    }
}
