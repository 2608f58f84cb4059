//! Every template to the letter (paper, Table 7).

use serde_json::json;

use super::*;

fn render(task: &str, fields: serde_json::Value) -> (String, String) {
    let record = Record::new("row", fields.as_object().unwrap().clone());
    let rendered = find_task(task).unwrap().render(&record).unwrap();
    assert!(rendered.references.contains(&rendered.target));
    (rendered.input, rendered.target)
}

#[test]
fn templates_are_those_of_table_7() {
    let pair = |label: &str| json!({"premise": "P.", "hypothesis": "H.", "label": label});
    let two_way = "P. question: H. Is it true or false? answer:";
    let three_way = "P. question: H. Is it true or false or neither? answer:";
    let wic = "S1. S2. question: The word w is used in the same way in the two sentences. \
               Is it true or False? answer:";
    let words =
        |label: bool| json!({"word": "w", "sentence1": "S1.", "sentence2": "S2.", "label": label});
    let options = json!({"question": "Q?", "choices": ["a", "b", "c", "d"], "answer_index": 2});
    let question = json!({"question": "q?", "answers": ["x", "y"]});
    let sentence = json!({"source": "s", "target": "t"});
    let article = json!({"document": "d.", "summary": "s."});
    for (task, fields, input, target) in [
        ("rte", pair("entailment"), two_way, "True"),
        ("rte", pair("not_entailment"), two_way, "False"),
        ("cb", pair("entailment"), three_way, "True"),
        ("cb", pair("contradiction"), three_way, "False"),
        ("snli", pair("neutral"), three_way, "Neither"),
        ("wic", words(true), wic, "True"),
        ("wic", words(false), wic, "False"),
        ("openbookqa", options, "Q: Q? A) a B) b C) c D) d A:", "C"),
        ("triviaqa", question.clone(), "Q: q? A:", "x"),
        ("webquestions", question, "Q: q? A:", "x"),
        (
            "wmt14_en_fr",
            sentence.clone(),
            "Translate English to French: s",
            "t",
        ),
        (
            "wmt16_en_de",
            sentence.clone(),
            "Translate English to German: s",
            "t",
        ),
        (
            "wmt16_en_ro",
            sentence,
            "Translate English to Romanian: s",
            "t",
        ),
        (
            "xsum",
            article.clone(),
            "Article: d. One sentence summary:",
            "s.",
        ),
        (
            "wikilingua_en",
            article,
            "Article: d. One sentence summary:",
            "s.",
        ),
    ] {
        assert_eq!(
            render(task, fields),
            (input.to_owned(), target.to_owned()),
            "{task}"
        );
    }
}

#[test]
fn names_are_unique_and_every_field_is_asked_for() {
    for task in tasks() {
        assert_eq!(find_task(task.name()).unwrap().title(), task.title());
        let record = Record::new("row", serde_json::Map::new());
        let error = task.render(&record).unwrap_err();
        assert!(
            task.fields()
                .iter()
                .any(|field| error.problem.contains(field)),
            "{error}"
        );
    }
}

#[test]
fn a_misspelt_field_is_suggested_and_a_wrong_type_shown() {
    let task = find_task("rte").unwrap();
    let fields = json!({"premises": "P.", "hypothesis": "H.", "label": "entailment"});
    let error = task
        .render(&Record::new("r", fields.as_object().unwrap().clone()))
        .unwrap_err();
    assert_eq!(error.problem, "field \"premise\" is missing");
    assert_eq!(error.hint.as_deref(), Some("there is a field \"premises\""));
    let fields = json!({"premise": 7, "hypothesis": "H.", "label": "entailment"});
    let error = task
        .render(&Record::new("r", fields.as_object().unwrap().clone()))
        .unwrap_err();
    assert_eq!(error.problem, "field \"premise\": expected text, found 7");
}
