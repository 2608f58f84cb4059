//! Texts of users and models in Markdown: what they say, and no markup.

use std::iter::repeat_n;

/// A text within a line: a heading, a paragraph, a cell of a table.
pub(in crate::report) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    let mut before = ' ';
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        let next = chars.peek().copied().unwrap_or(' ');
        match char {
            '\n' | '\r' => escaped.push(' '),
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '\\' | '|' | '`' | '*' | '~' => escaped.extend(['\\', char]),
            // Within a word it is none: names of stages stay as they are.
            '_' if !(before.is_alphanumeric() && next.is_alphanumeric()) => escaped += "\\_",
            // No link and no image.
            ']' if next == '(' => escaped += "\\]",
            _ => escaped.push(char),
        }
        before = char;
    }
    escaped
}

/// A text as code within a line.
pub(super) fn code(text: &str) -> String {
    let text = text.replace(['\n', '\r'], " ");
    let fence = ticks(longest_run(&text) + 1);
    let at_end = |char: char| text.starts_with(char) || text.ends_with(char);
    // One space on both sides is not part of it; without, nothing would be no code.
    let pad = if text.is_empty() {
        return "` `".to_owned();
    } else if at_end('`') || at_end(' ') {
        " "
    } else {
        ""
    };
    format!("{fence}{pad}{text}{pad}{fence}")
}

/// A text of many lines as it is.
pub(super) fn block(text: &str) -> String {
    let fence = ticks((longest_run(text) + 1).max(3));
    format!("{fence}text\n{text}\n{fence}\n")
}

fn ticks(count: usize) -> String {
    repeat_n('`', count).collect()
}

/// How many backticks stand side by side at most: a fence of more is not closed by them.
fn longest_run(text: &str) -> usize {
    let runs = text.split(|char| char != '`').map(str::len);
    runs.max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_within_a_line_stays_a_text_and_one_cell() {
        for (text, expected) in [
            ("a|b", "a\\|b"),
            ("a\\|b", "a\\\\\\|b"),
            ("<img src=x> &lt;", "&lt;img src=x> &amp;lt;"),
            ("one\ntwo\r\nthree", "one two  three"),
            ("*bold* ~no~ `code`", "\\*bold\\* \\~no\\~ \\`code\\`"),
            ("![x](http://y)", "![x\\](http://y)"),
            ("fine_tuned, __x_", "fine_tuned, \\_\\_x\\_"),
            (
                "RTE (tuned), 1-shot: 52.1 ±3.0 [prompt]",
                "RTE (tuned), 1-shot: 52.1 ±3.0 [prompt]",
            ),
        ] {
            assert_eq!(escaped(text), expected);
        }
    }

    #[test]
    fn code_is_not_closed_by_what_is_in_it() {
        for (text, expected) in [
            ("True", "`True`"),
            ("a\nb", "`a b`"),
            ("<b> | &", "`<b> | &`"),
            ("a`b", "``a`b``"),
            ("``a", "``` ``a ```"),
            (" a ", "`  a  `"),
            ("", "` `"),
        ] {
            assert_eq!(code(text), expected);
        }
        assert_eq!(block("a\nb"), "```text\na\nb\n```\n");
        assert_eq!(block("```\n# b"), "````text\n```\n# b\n````\n");
    }
}
