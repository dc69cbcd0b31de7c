//! Which modules of its own crate a source file names: enough of Rust's syntax for the layer rules.

/// Lines (from 1) and the first segment after `crate::`, also out of `crate::{a, b::c}`; comments and strings are
/// not looked at.
pub(crate) fn used(source: &str) -> Vec<(usize, String)> {
    let code = without_comments_and_strings(source);
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let before = code.get(..at).unwrap_or_default();
        // `$crate::` and `my_crate::` are others.
        if before
            .chars()
            .next_back()
            .is_some_and(|letter| letter.is_alphanumeric() || "_$".contains(letter))
        {
            continue;
        }
        let after = code.get(at + "crate::".len()..).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        found.extend(first_segments(after).into_iter().map(|name| (line, name)));
    }
    found
}

/// The first segment of each path of `a::b` or `{a::b, c::{d, e}}`.
fn first_segments(text: &str) -> Vec<String> {
    let Some(group) = text.trim_start().strip_prefix('{') else {
        return Vec::from_iter(identifier(text));
    };
    let mut depth = 0_u32;
    let mut names = Vec::new();
    let mut expected = true;
    for (at, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => expected = true,
            letter if expected && !letter.is_whitespace() => {
                names.extend(group.get(at..).and_then(identifier));
                expected = false;
            }
            _ => {}
        }
    }
    names
}

fn identifier(text: &str) -> Option<String> {
    let name: String = text
        .trim_start()
        .trim_start_matches("r#")
        .chars()
        .take_while(|letter| letter.is_alphanumeric() || *letter == '_')
        .collect();
    (!name.is_empty()).then_some(name)
}

/// The source with the insides of comments and strings blanked out, line breaks kept.
fn without_comments_and_strings(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(letter) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if let Some(length) = raw_string(rest, &out) {
            length
        } else if letter == '"' {
            string(rest)
        } else if rest.starts_with("'\"'") || rest.starts_with("'\\\"'") {
            rest.get(1..)
                .and_then(|inner| inner.find("'"))
                .map_or(rest.len(), |end| end + 2)
        } else {
            out.push(letter);
            rest = rest.get(letter.len_utf8()..).unwrap_or_default();
            continue;
        };
        let (skipped, left) = rest.split_at_checked(length).unwrap_or((rest, ""));
        out.push(' ');
        out.extend(skipped.chars().filter(|letter| *letter == '\n'));
        rest = left;
    }
    out
}

fn block_comment(text: &str) -> usize {
    let mut depth = 0_u32;
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

fn raw_string(text: &str, before: &str) -> Option<usize> {
    if before
        .chars()
        .next_back()
        .is_some_and(|letter| letter.is_alphanumeric() || letter == '_')
    {
        return None;
    }
    let after = text.strip_prefix("br").or_else(|| text.strip_prefix('r'))?;
    let hashes = after.chars().take_while(|letter| *letter == '#').count();
    let inside = after.get(hashes..)?.strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let opening = text.len() - inside.len();
    Some(
        inside
            .find(&end)
            .map_or(text.len(), |at| opening + at + end.len()),
    )
}

fn string(text: &str) -> usize {
    let mut escaped = false;
    for (at, letter) in text.char_indices().skip(1) {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(source: &str) -> Vec<String> {
        used(source).into_iter().map(|(_, name)| name).collect()
    }

    #[test]
    fn paths_and_groups_are_read() {
        assert_eq!(names("use crate::api::grpc;"), ["api"]);
        assert_eq!(
            names("use crate::{application::{a, b}, domain, infrastructure::x};"),
            ["application", "domain", "infrastructure"]
        );
        assert_eq!(names("pub(crate) use crate :: x;"), Vec::<String>::new());
        assert_eq!(
            names("fn f() { crate::api::g(); my_crate::api::g(); $crate::api::h() }"),
            ["api"]
        );
    }

    #[test]
    fn lines_are_counted_and_comments_and_strings_skipped() {
        let source = "// crate::api\n/* crate::api\n /* */ */\nlet a = \"crate::api\\\"\";\nlet b = r#\"crate::api\"#; let c = '\"';\nuse crate::config;\n";
        assert_eq!(used(source), [(6, "config".to_owned())]);
    }
}
