//! A plan's text as JSON: an array of operators, each with its `name`, `info`, what it did (`measured`) and `children`.
//!
//! Invariant: every line of the text is in it, in the order of the text.

/// An operator, or a heading, with what is below it.
#[derive(Debug, Default)]
struct Node {
    depth: usize,
    line: String,
    details: Vec<String>,
    children: Vec<Node>,
}

/// The JSON of a plan's text, whose lines are indented by two spaces a level.
pub(crate) fn of_text(text: &str) -> String {
    let mut roots: Vec<Node> = Vec::new();
    let mut open: Vec<Node> = Vec::new();
    for line in text.lines() {
        let content = line.trim_start();
        let depth = (line.len() - content.len()) / 2;
        if let (Some(detail), Some(node)) = (content.strip_prefix("- "), open.last_mut()) {
            node.details.push(detail.to_owned());
            continue;
        }
        close(&mut open, &mut roots, depth);
        let line = content.to_owned();
        open.push(Node { depth, line, ..Node::default() });
    }
    close(&mut open, &mut roots, 0);
    let mut out = String::new();
    list(&roots, &mut out);
    out
}

/// Puts the open nodes of a depth and more below those that they are under.
fn close(open: &mut Vec<Node>, roots: &mut Vec<Node>, depth: usize) {
    while let Some(node) = open.pop_if(|node| node.depth >= depth) {
        match open.last_mut() {
            Some(parent) => parent.children.push(node),
            None => roots.push(node),
        }
    }
}

fn list(nodes: &[Node], out: &mut String) {
    out.push('[');
    for (place, node) in nodes.iter().enumerate() {
        if place > 0 {
            out.push(',');
        }
        write(node, out);
    }
    out.push(']');
}

fn write(node: &Node, out: &mut String) {
    // What was measured stands behind two spaces in brackets at the end of the line.
    let (line, measured) = match node.line.rsplit_once("  [") {
        Some((line, measured)) => (line, measured.strip_suffix(']')),
        None => (node.line.as_str(), None),
    };
    let (name, info) = line.split_once(": ").unwrap_or((line.trim_end_matches(':'), ""));
    out.push_str("{\"name\":");
    string(name, out);
    out.push_str(",\"info\":");
    string(info, out);
    if let Some(measured) = measured {
        out.push_str(",\"measured\":");
        string(measured, out);
    }
    if !node.details.is_empty() {
        out.push_str(",\"details\":[");
        for (place, detail) in node.details.iter().enumerate() {
            if place > 0 {
                out.push(',');
            }
            string(detail, out);
        }
        out.push(']');
    }
    out.push_str(",\"children\":");
    list(&node.children, out);
    out.push('}');
}

fn string(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if (c as u32) < 0x20 => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_lines_become_operators_in_their_order() {
        let text = "Join: a = b  [3 rows]\n  Scan t: \"x\\y\"\n    - 5 bytes\n    - 6\n  Filter\n    Scan u\n2 rows\n";
        let scan =
            r#"{"name":"Scan t","info":"\"x\\\\y\"","details":["5 bytes","6"],"children":[]}"#;
        let scan = scan.replace(r"\\\\", r"\\");
        let filter =
            r#"{"name":"Filter","info":"","children":[{"name":"Scan u","info":"","children":[]}]}"#;
        let join = format!(
            r#"{{"name":"Join","info":"a = b","measured":"3 rows","children":[{scan},{filter}]}}"#
        );
        let total = r#"{"name":"2 rows","info":"","children":[]}"#;
        assert_eq!(of_text(text), format!("[{join},{total}]"));
        assert_eq!(of_text(""), "[]");
    }
}
