//! Paths into JSON: `$.a[0].b`, `$.a[#-1]`, `$[*]`, `$.*`, pointers `/a/0`, and plain keys.
//!
//! Invariant: a value is a slice of a checked text; what is found is such slices, in the order of the text.

use datafusion_common::{Result, exec_err};
use stoadb_storage::json::{items, members, unescaped};

/// One step into a value.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// The member of a key; the first of several.
    Key(String),
    /// The item at a place, from the end where it is negative.
    Item(i64),
    /// A key of an object, a place of an array.
    Either(String),
    /// All items.
    Items,
    /// The values of all members.
    Members,
}

/// A path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Path {
    steps: Vec<Step>,
    /// Whether it may find several values.
    pub(super) many: bool,
}

impl Path {
    /// The item at a place.
    pub(super) fn item(place: i64) -> Self {
        Self { steps: vec![Step::Item(place)], many: false }
    }

    /// From a text.
    ///
    /// # Errors
    /// When it is no path.
    pub(super) fn parse(text: &str) -> Result<Self> {
        if let Some(pointer) = text.strip_prefix('/') {
            let unescape = |part: &str| part.replace("~1", "/").replace("~0", "~");
            let steps = pointer.split('/').map(|part| Step::Either(unescape(part))).collect();
            return Ok(Self { steps, many: false });
        }
        let Some(mut rest) = text.strip_prefix('$') else {
            return Ok(Self { steps: vec![Step::Key(text.to_owned())], many: false });
        };
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let step = match rest.as_bytes()[0] {
                b'.' => member(&rest[1..]),
                b'[' => item(&rest[1..]),
                _ => None,
            };
            match step {
                Some((step, after)) => {
                    steps.push(step);
                    rest = after;
                }
                None => return exec_err!("'{text}' is no JSON path: '{rest}' is not understood"),
            }
        }
        let many = steps.iter().any(|step| matches!(step, Step::Items | Step::Members));
        Ok(Self { steps, many })
    }

    /// The values that the path finds in a checked value.
    pub(super) fn find<'a>(&self, json: &'a str) -> Vec<&'a str> {
        let mut found = vec![json];
        for step in &self.steps {
            let mut next = Vec::new();
            found.iter().for_each(|value| walk(step, value, &mut next));
            found = next;
        }
        found
    }

    /// The first value that the path finds.
    pub(super) fn first<'a>(&self, json: &'a str) -> Option<&'a str> {
        self.find(json).first().copied()
    }
}

/// What stands behind a point.
fn member(rest: &str) -> Option<(Step, &str)> {
    if let Some(after) = rest.strip_prefix('*') {
        return Some((Step::Members, after));
    }
    if let Some(quoted) = rest.strip_prefix('"') {
        let mut key = String::new();
        let mut chars = quoted.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => return Some((Step::Key(key), &quoted[at + 1..])),
                '\\' => key.push(chars.next()?.1),
                c => key.push(c),
            }
        }
        return None;
    }
    let end = rest.find(['.', '[']).unwrap_or(rest.len());
    let (key, after) = rest.split_at(end);
    (!key.is_empty()).then(|| (Step::Key(key.to_owned()), after))
}

/// What stands behind a bracket.
fn item(rest: &str) -> Option<(Step, &str)> {
    let (place, after) = rest.split_once(']')?;
    let step = match place {
        "*" => Step::Items,
        "#" => Step::Item(i64::MAX),
        _ => match place.strip_prefix("#-") {
            Some(back) => Step::Item(back.parse::<i64>().ok()?.checked_neg()?),
            None => Step::Item(place.parse().ok()?),
        },
    };
    Some((step, after))
}

fn walk<'a>(step: &Step, json: &'a str, found: &mut Vec<&'a str>) {
    match (step, json.as_bytes().first()) {
        (Step::Key(key) | Step::Either(key), Some(b'{')) => {
            let mut member = None;
            each_member(json, |name, value| {
                if member.is_none() && unescaped(name) == *key {
                    member = Some(value);
                }
            });
            found.extend(member);
        }
        (Step::Members, Some(b'{')) => each_member(json, |_, value| found.push(value)),
        (Step::Items, Some(b'[')) => found.extend(items_of(json)),
        (Step::Item(place), Some(b'[')) => {
            let all = items_of(json);
            let place =
                if *place < 0 { place.saturating_add_unsigned(all.len() as u64) } else { *place };
            found.extend(usize::try_from(place).ok().and_then(|place| all.get(place)));
        }
        (Step::Either(place), Some(b'[')) => {
            let all = items_of(json);
            found.extend(place.parse::<usize>().ok().and_then(|place| all.get(place)));
        }
        _ => {}
    }
}

/// The keys (in quotes) and values of an object.
pub(super) fn each_member<'a>(json: &'a str, mut each: impl FnMut(&'a str, &'a str)) {
    members(json.as_bytes(), 0, |key, value| each(&json[key.0..key.1], &json[value.0..value.1]));
}

/// The items of an array.
pub(super) fn items_of(json: &str) -> Vec<&str> {
    let mut all = Vec::new();
    items(json.as_bytes(), 0, |(start, end)| all.push(&json[start..end]));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_paths_find_what_they_name() {
        let json = r#"{"a":{"b":[10,20,[30]]},"a.b":1,"c":{"x":1,"y":2},"\u00e9":"q"}"#;
        for (path, wanted) in [
            ("$", vec![json]),
            ("$.a.b[1]", vec!["20"]),
            ("$.a.b[#-1]", vec!["[30]"]),
            ("$.a.b[#]", vec![]),
            ("$.a.b[-2]", vec!["20"]),
            ("$.a.b[9]", vec![]),
            ("$.a.b[*]", vec!["10", "20", "[30]"]),
            ("$.c.*", vec!["1", "2"]),
            ("a.b", vec!["1"]),
            ("$.\"a.b\"", vec!["1"]),
            ("/a/b/2/0", vec!["30"]),
            ("$.\u{e9}", vec!["\"q\""]),
            ("$.none", vec![]),
            ("", vec![]),
        ] {
            assert_eq!(Path::parse(path).unwrap().find(json), wanted, "{path}");
        }
        for path in ["$a", "$.", "$[", "$[x]", "$.\"a", "$[1"] {
            assert!(Path::parse(path).is_err(), "{path}");
        }
    }
}
