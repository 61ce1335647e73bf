//! `argv`: what the policy wants recorded of arguments at most.

use aegis_policy::{Argv, Policy};

use super::{DEMO, compile, parse};

#[test]
fn it_reaches_the_compiled_policy_and_comes_back() {
    let argv = |text: &str| Policy::decode(&compile(text).bytes).expect("good").argv();
    assert_eq!(argv(DEMO), Argv::Whole);
    for (word, expected) in [("secrets", Argv::Secrets), ("program", Argv::Program)] {
        let text = DEMO.replacen("mode =", &format!("argv = \"{word}\"\nmode ="), 1);
        assert_eq!(argv(&text), expected);
        assert_eq!(argv(&super::format(&text).expect("formatted")), expected);
        let used = format!(
            "{text}\n[[template]]\nname = \"unused\"\n[[template.rule]]\nname = \"x\"\naction = \"deny\"\noperations = [\"exec\"]\npaths = [\"/x\"]\n"
        );
        let composed = compile(&used);
        assert!(composed.text.contains(&format!("argv = \"{word}\"")), "{}", composed.text);
        assert_eq!(argv(&composed.text), expected);
    }
    for word in ["whole", "Secrets", "", "none"] {
        let text = DEMO.replacen("mode =", &format!("argv = \"{word}\"\nmode ="), 1);
        let error = parse(&text).1.expect_err(word);
        assert!(error.message.contains("argv"), "{word}: {}", error.message);
    }
}
