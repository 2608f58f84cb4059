//! Porter's stemmer with NLTK's extensions, which is what `rouge_score` stems with.
//!
//! M. F. Porter, "An algorithm for suffix stripping", Program 14.3 (1980), with the deviations of
//! `nltk.stem.porter.PorterStemmer` in its default mode. (Snowball's English stemmer is another
//! algorithm.)

/// The stem of a word of lower-case ASCII letters and digits.
///
/// Other words have no defined stem and come back unchanged.
pub(super) fn stem(word: &str) -> String {
    if let Some(stem) = irregular(word) {
        return stem.to_owned();
    }
    let in_alphabet = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    if word.len() <= 2 || !word.bytes().all(in_alphabet) {
        return word.to_owned();
    }
    let mut word = word.to_owned();
    step_1a(&mut word);
    step_1b(&mut word);
    step_1c(&mut word);
    step_2(&mut word);
    replace_first(&mut word, STEP_3, |stem, _| measure(stem) > 0);
    replace_first(&mut word, STEP_4, |stem, suffix| {
        measure(stem) > 1 && (suffix != "ion" || stem.ends_with(['s', 't']))
    });
    step_5(&mut word);
    word
}

fn irregular(word: &str) -> Option<&'static str> {
    Some(match word {
        "sky" | "skies" => "sky",
        "dying" => "die",
        "lying" => "lie",
        "tying" => "tie",
        "news" => "news",
        "innings" | "inning" => "inning",
        "outings" | "outing" => "outing",
        "cannings" | "canning" => "canning",
        "howe" => "howe",
        "proceed" => "proceed",
        "exceed" => "exceed",
        "succeed" => "succeed",
        _ => return None,
    })
}

/// A suffix and what takes its place. Of a list only the first suffix that fits is considered.
type Rule = (&'static str, &'static str);

const STEP_2: &[Rule] = &[
    ("ational", "ate"),
    ("tional", "tion"),
    ("enci", "ence"),
    ("anci", "ance"),
    ("izer", "ize"),
    ("bli", "ble"),
    ("entli", "ent"),
    ("eli", "e"),
    ("ousli", "ous"),
    ("ization", "ize"),
    ("ation", "ate"),
    ("ator", "ate"),
    ("alism", "al"),
    ("iveness", "ive"),
    ("fulness", "ful"),
    ("ousness", "ous"),
    ("aliti", "al"),
    ("iviti", "ive"),
    ("biliti", "ble"),
    ("fulli", "ful"),
    ("logi", "log"),
];

const STEP_3: &[Rule] = &[
    ("icate", "ic"),
    ("ative", ""),
    ("alize", "al"),
    ("iciti", "ic"),
    ("ical", "ic"),
    ("ful", ""),
    ("ness", ""),
];

const STEP_4: &[Rule] = &[
    ("al", ""),
    ("ance", ""),
    ("ence", ""),
    ("er", ""),
    ("ic", ""),
    ("able", ""),
    ("ible", ""),
    ("ant", ""),
    ("ement", ""),
    ("ment", ""),
    ("ent", ""),
    ("ion", ""),
    ("ou", ""),
    ("ism", ""),
    ("ate", ""),
    ("iti", ""),
    ("ous", ""),
    ("ive", ""),
    ("ize", ""),
];

/// Applies the first of `rules` whose suffix fits, if `condition` holds for stem and suffix;
/// says whether it did.
fn replace_first(
    word: &mut String,
    rules: &[Rule],
    condition: impl Fn(&str, &str) -> bool,
) -> bool {
    let Some((stem, suffix, replacement)) = rules.iter().find_map(|&(suffix, replacement)| {
        let stem = word.strip_suffix(suffix)?;
        Some((stem, suffix, replacement))
    }) else {
        return false;
    };
    if !condition(stem, suffix) {
        return false;
    }
    word.truncate(stem.len());
    word.push_str(replacement);
    true
}

/// Plurals.
fn step_1a(word: &mut String) {
    if word.len() == 4 && word.ends_with("ies") {
        word.truncate(3); // NLTK: "ties" -> "tie"
        return;
    }
    let rules = [("sses", "ss"), ("ies", "i"), ("ss", "ss"), ("s", "")];
    replace_first(word, &rules, |_, _| true);
}

/// Past tenses and `-ing`.
fn step_1b(word: &mut String) {
    if word.ends_with("ied") {
        // NLTK: "died" -> "die", "spied" -> "spi"
        word.truncate(word.len() - if word.len() == 4 { 1 } else { 2 });
        return;
    }
    if word.ends_with("eed") {
        replace_first(word, &[("eed", "ee")], |stem, _| measure(stem) > 0);
        return;
    }
    let rules = [("ed", ""), ("ing", "")];
    if !replace_first(word, &rules, |stem, _| contains_vowel(stem)) {
        return;
    }
    if replace_first(
        word,
        &[("at", "ate"), ("bl", "ble"), ("iz", "ize")],
        |_, _| true,
    ) {
        return;
    }
    if ends_in_double_consonant(word) {
        if !word.ends_with(['l', 's', 'z']) {
            word.pop();
        }
    } else if measure(word) == 1 && ends_in_cvc(word) {
        word.push('e');
    }
}

/// A final `y` after a consonant that does not start the word.
fn step_1c(word: &mut String) {
    replace_first(word, &[("y", "i")], |stem, _| {
        stem.len() > 1 && consonants(stem).last() == Some(true)
    });
}

/// Long derivational suffixes.
fn step_2(word: &mut String) {
    // NLTK: this rule comes before the others, so that "additionalli" becomes "addition".
    replace_first(word, &[("alli", "al")], |stem, _| measure(stem) > 0);
    replace_first(word, STEP_2, |stem, suffix| match suffix {
        // NLTK: the `l` belongs to the stem, so that "geo" and "theo" are long enough.
        "logi" => measure(&format!("{stem}l")) > 0,
        _ => measure(stem) > 0,
    });
}

/// A final `e`, and one of two final `l`.
fn step_5(word: &mut String) {
    replace_first(word, &[("e", "")], |stem, _| {
        let measure = measure(stem);
        measure > 1 || (measure == 1 && !ends_in_cvc(stem))
    });
    if word.ends_with("ll") && measure(&word[..word.len() - 1]) > 1 {
        word.pop();
    }
}

/// For each character whether it is a consonant: any but a vowel, `y` only after a vowel or at
/// the start.
fn consonants(word: &str) -> impl Iterator<Item = bool> {
    word.bytes().scan(false, |previous, c| {
        *previous = match c {
            b'a' | b'e' | b'i' | b'o' | b'u' => false,
            b'y' => !*previous,
            _ => true,
        };
        Some(*previous)
    })
}

/// Porter's m: how often a consonant follows a vowel.
fn measure(word: &str) -> usize {
    consonants(word)
        .zip(consonants(word).skip(1))
        .filter(|&(before, after)| !before && after)
        .count()
}

fn contains_vowel(word: &str) -> bool {
    consonants(word).any(|consonant| !consonant)
}

fn ends_in_double_consonant(word: &str) -> bool {
    let bytes = word.as_bytes();
    matches!(bytes, [.., before, last] if before == last) && consonants(word).last() == Some(true)
}

/// Consonant, vowel, consonant other than `w`, `x`, `y`; NLTK: or vowel and consonant as the whole
/// word.
fn ends_in_cvc(word: &str) -> bool {
    let flags: Vec<bool> = consonants(word).collect();
    match flags[..] {
        [false, true] => true,
        [.., true, false, true] => !word.ends_with(['w', 'x', 'y']),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_nltk_on_thousands_of_words() {
        let fixture = include_str!("../../tests/fixtures/metric/porter.tsv");
        let mut count = 0;
        for line in fixture.lines().filter(|line| !line.starts_with('#')) {
            let (word, expected) = line.split_once('\t').expect("word, tab, stem");
            assert_eq!(stem(word), expected, "{word}");
            count += 1;
        }
        assert!(count >= 3000, "only {count} words");
    }

    #[test]
    fn counts_what_porter_counts() {
        let words = ["tree", "by", "trouble", "oats", "ivy", "troubles", "orrery"];
        assert_eq!(words.map(measure), [0, 0, 1, 1, 1, 2, 2]);
    }

    #[test]
    fn leaves_alone_what_is_no_lower_case_ascii_word() {
        for word in ["", "as", "Flying", "théories"] {
            assert_eq!(stem(word), word);
        }
    }
}
