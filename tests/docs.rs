//! What the documents say about tests is true: each test that they name is there, and so is each file.
#![expect(
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a test of files that lie in the repository"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{read_dir, read_to_string};
use std::path::{Path, PathBuf};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Files of a kind in a folder of the repository.
fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let entries = read_dir(repository().join(folder)).expect("the folder is there");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.filter(|path| path.extension().is_some_and(|found| found == extension)).collect()
}

/// The folders with pages.
const FOLDERS: [&str; 3] = [".", "docs", "docs/decisions"];

fn pages_in(folder: &str) -> Vec<String> {
    files(folder, "md").into_iter().map(|path| read_to_string(path).expect("a page of text")).collect()
}

fn pages() -> Vec<String> {
    FOLDERS.iter().flat_map(|folder| pages_in(folder)).collect()
}

/// What stands between backticks, each with the words before it.
fn spans(page: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut parts = page.split('`');
    std::iter::from_fn(move || Some((parts.next()?.trim(), parts.next()?)))
}

fn is_path_of_modules(span: &str) -> bool {
    let is_name = |word: &str| !word.is_empty() && word.bytes().all(|b| b == b'_' || b.is_ascii_lowercase());
    span.split("::").all(is_name)
}

/// Where a test is, and its name. A name of fewer than three words is that of a module or a function.
fn citation(span: &str) -> Option<(&str, &str)> {
    let (place, name) = span.rsplit_once("::")?;
    (is_path_of_modules(span) && name.matches('_').count() >= 2).then_some((place, name))
}

/// Which source a place stands for: "`place`, `place` | `source`" in a table, and "`place` is `source`" in a sentence.
fn legend(pages: &[String]) -> BTreeMap<&str, String> {
    let (mut legend, mut places) = (BTreeMap::new(), Vec::<&str>::new());
    for (before, span) in pages.iter().flat_map(|page| spans(page)) {
        if before != "," {
            let is_source = span.contains('/') && (span.ends_with(".rs") || span.ends_with('/'));
            for place in places.drain(..).filter(|_| is_source && (before == "|" || before == "is")) {
                let file = place.rsplit("::").next().unwrap_or(place);
                legend.insert(place, span.replace("<file>", file));
            }
        }
        if is_path_of_modules(span) {
            places.push(span);
        }
    }
    legend
}

/// The text of a file, or of all files of a folder; nothing if there is none.
fn source(path: &str) -> String {
    let (folder, name) = path.rsplit_once('/').unwrap_or((".", path));
    let is_meant = |path: &PathBuf| name.is_empty() || path.file_name().is_some_and(|found| found == name);
    files(folder, "rs").iter().filter(|path| is_meant(path)).flat_map(read_to_string).collect()
}

/// What is wrong with the names of tests in `pages`.
fn faults(pages: &[String]) -> Vec<String> {
    let legend = legend(pages);
    let sources: BTreeMap<_, _> = legend.iter().map(|(place, path)| (*place, source(path))).collect();
    let (mut faults, mut used) = (Vec::new(), BTreeSet::new());
    for (place, name) in pages.iter().flat_map(|page| spans(page)).filter_map(|(_, span)| citation(span)) {
        // `machine::tests` lies where `machine` does.
        let known = |place: &&str| sources.contains_key(place);
        let mut longest_first = std::iter::successors(Some(place), |at| Some(at.rsplit_once("::")?.0));
        let Some(known) = longest_first.find(known) else {
            faults.push(format!("no legend says where `{place}::{name}` is"));
            continue;
        };
        used.insert(known);
        if !sources[known].contains(&format!("fn {name}(")) {
            faults.push(format!("`{place}::{name}` is not in {}", legend[known]));
        }
    }
    let unused = legend.keys().filter(|place| !used.contains(*place));
    faults.extend(unused.map(|place| format!("the legend has `{place}`, and no page names a test of it")));
    faults
}

#[test]
fn every_test_that_the_documents_name_is_there() {
    let pages = pages();
    assert!(legend(&pages).len() > 10, "{:?}", legend(&pages));
    assert_eq!(faults(&pages), [""; 0]);
}

#[test]
fn a_name_that_is_wrong_is_noticed() {
    for planted in [
        "`it::restart::a_name_that_nobody_gave`",
        "`nowhere::missed_timers_come_in_the_order_of_their_deadlines`",
        "| `it::nowhere` | `tests/it/<file>.rs` |",
        "`it::moved` is `tests/it/gone.rs`: `it::moved::a_test_of_a_file_that_is_gone`",
    ] {
        let page = planted.to_owned();
        let found = faults(&[pages(), vec![page]].concat());
        assert_eq!(found.len(), faults(&pages()).len() + 1, "{planted}: {found:?}");
    }
}

/// The folders of the repository that hold what pages speak of.
const ROOTS: [&str; 7] = [".ci/", "benches/", "crates/", "docs/", "examples/", "fuzz/", "tests/"];

/// A file or folder of the repository, as a page names it between backticks: no pattern, and nothing that a build makes.
fn named_path(span: &str) -> Option<&str> {
    let is_path = ROOTS.iter().any(|root| span.starts_with(root)) && !span.contains(['<', '*', ' ', '{']);
    is_path.then_some(span)
}

/// What `](` opens, without the place in the page; nothing for another site.
fn linked_path(link: &str) -> Option<&str> {
    let path = link.split(')').next()?.split('#').next()?;
    (!path.is_empty() && !path.contains("://")).then_some(path)
}

/// The paths in a page of `folder` that lead nowhere.
fn dead_paths(folder: &str, page: &str) -> Vec<String> {
    let named = spans(page).filter_map(|(_, span)| named_path(span)).map(|path| repository().join(path));
    let links = page.split("](").skip(1).filter_map(linked_path);
    let linked = links.map(|path| repository().join(folder).join(path));
    named.chain(linked).filter(|path| !path.exists()).map(|path| path.display().to_string()).collect()
}

#[test]
fn every_file_that_the_documents_name_is_there() {
    let pages =
        FOLDERS.iter().flat_map(|folder| pages_in(folder).into_iter().map(move |page| (*folder, page)));
    let dead: Vec<_> = pages.flat_map(|(folder, page)| dead_paths(folder, &page)).collect();
    assert_eq!(dead, [""; 0]);
}

#[test]
fn a_path_that_leads_nowhere_is_noticed() {
    for planted in ["`crates/horolog-wal/src/gone.rs`", "[a page](gone.md#place)", "[up](../gone)"] {
        assert_eq!(dead_paths("docs", planted).len(), 1, "{planted}");
    }
    for sound in
        ["`docs/format.md`", "[a page](format.md#place)", "`tests/it/<file>.rs`", "[a](https://b.c/d)"]
    {
        assert_eq!(dead_paths("docs", sound), [""; 0], "{sound}");
    }
}
