//! Paths with holes, as `google.api.HttpRule` writes them.

use std::ops::Range;

/// A path as a rule gives it: `/admin/tenants/{id}`, `/admin/models/{name=**}`, `/admin/keys/{id}:rotate`.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    text: String,
    segments: Vec<Segment>,
    verb: Option<String>,
    holes: Vec<Hole>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Literal(String),
    /// One segment, not empty.
    One,
    /// One segment or more, not empty together. A template has one at most.
    Rest,
}

#[derive(Clone, Debug)]
struct Hole {
    field: String,
    segments: Range<usize>,
}

impl Template {
    /// Reads what a rule says.
    ///
    /// # Errors
    /// Why it is no template.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("the path `{text}` {why}");
        let tail = text.rfind(['/', '}']).ok_or_else(|| wrong("must begin with a slash"))?;
        let (path, verb) = match text[tail..].find(':') {
            Some(at) => (&text[..tail + at], Some(text[tail + at + 1..].to_owned())),
            None => (text, None),
        };
        let mut template = Self { text: text.to_owned(), segments: Vec::new(), verb, holes: Vec::new() };
        let mut left = path;
        while !left.is_empty() {
            left = left.strip_prefix('/').ok_or_else(|| wrong("lacks a slash before a segment"))?;
            left = match left.strip_prefix('{') {
                Some(inner) => {
                    let (hole, left) = inner.split_once('}').ok_or_else(|| wrong("has an open brace"))?;
                    template.push_hole(hole);
                    left
                }
                None => {
                    let end = left.find('/').unwrap_or(left.len());
                    template.push(&left[..end]);
                    &left[end..]
                }
            };
        }
        if template.segments.iter().filter(|segment| **segment == Segment::Rest).count() > 1 {
            return Err(wrong("has more than one `**`"));
        }
        Ok(template)
    }

    fn push_hole(&mut self, hole: &str) {
        let (field, pattern) = hole.split_once('=').unwrap_or((hole, "*"));
        let begin = self.segments.len();
        pattern.split('/').for_each(|segment| self.push(segment));
        self.holes.push(Hole { field: field.to_owned(), segments: begin..self.segments.len() });
    }

    fn push(&mut self, segment: &str) {
        self.segments.push(match segment {
            "*" => Segment::One,
            "**" => Segment::Rest,
            literal => Segment::Literal(literal.to_owned()),
        });
    }

    /// As the rule has it: what metrics and documents show.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The names of the holes, in their order.
    pub(crate) fn fields(&self) -> impl Iterator<Item = &str> {
        self.holes.iter().map(|hole| hole.field.as_str())
    }

    /// As documents show it, with these names for its holes: `/admin/models/{name}`.
    pub(crate) fn shown_with(&self, names: &[String]) -> String {
        let mut shown = String::new();
        let mut at = 0;
        while let Some(segment) = self.segments.get(at) {
            let hole = self.holes.iter().zip(names).find(|(hole, _)| hole.segments.start == at);
            let (text, next) = match (hole, segment) {
                (Some((hole, name)), _) => (format!("{{{name}}}"), hole.segments.end),
                (None, Segment::Literal(literal)) => (literal.clone(), at + 1),
                (None, Segment::One) => ("*".to_owned(), at + 1),
                (None, Segment::Rest) => ("**".to_owned(), at + 1),
            };
            shown.push('/');
            shown.push_str(&text);
            at = next;
        }
        if let Some(verb) = &self.verb {
            shown.push(':');
            shown.push_str(verb);
        }
        shown
    }

    /// Whether a hole takes several segments.
    pub(crate) fn takes_slashes(&self, hole: usize) -> bool {
        self.holes.get(hole).is_some_and(|hole| self.segments[hole.segments.clone()] != [Segment::One])
    }

    /// What it matches, whatever its holes are called.
    pub(crate) fn shape(&self) -> (Vec<String>, Option<&str>) {
        let shown = |segment: &Segment| match segment {
            Segment::Literal(literal) => literal.clone(),
            Segment::One => "*".to_owned(),
            Segment::Rest => "**".to_owned(),
        };
        (self.segments.iter().map(shown).collect(), self.verb.as_deref())
    }

    /// Sorts a template before those that match more.
    pub(crate) fn breadth(&self) -> (bool, Vec<u8>) {
        let breadth = |segment: &Segment| match segment {
            Segment::Literal(_) => 0,
            Segment::One => 1,
            Segment::Rest => 2,
        };
        // The end counts as the widest, so that what goes on after `**` comes first.
        (self.verb.is_none(), self.segments.iter().map(breadth).chain([3]).collect())
    }

    /// What stands in its holes, still escaped. `None` where the path is another.
    pub(crate) fn captures(&self, path: &str) -> Option<Vec<String>> {
        let path = match &self.verb {
            Some(verb) => path.strip_suffix(verb)?.strip_suffix(':')?,
            None => path,
        };
        let given: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
        let more = given.len().checked_sub(self.segments.len())?;
        let rest = self.segments.iter().position(|segment| *segment == Segment::Rest);
        if more > 0 && rest.is_none() {
            return None;
        }
        // Where a segment of the template begins in the path.
        let place = |at: usize| if rest.is_some_and(|rest| at > rest) { at + more } else { at };
        let fits = self.segments.iter().enumerate().all(|(at, segment)| {
            let own = given[place(at)..place(at + 1)].join("/");
            match segment {
                Segment::Literal(literal) => own == *literal,
                Segment::One | Segment::Rest => !own.is_empty(),
            }
        });
        let inside = |hole: &Hole| given[place(hole.segments.start)..place(hole.segments.end)].join("/");
        fits.then(|| self.holes.iter().map(inside).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn captured(template: &str, path: &str) -> Option<Vec<String>> {
        Template::parse(template).unwrap().captures(path)
    }

    fn some(values: &[&str]) -> Option<Vec<String>> {
        Some(values.iter().map(|&value| value.to_owned()).collect())
    }

    #[test]
    fn holes_take_what_they_are_for() {
        assert_eq!(captured("/a/{id}", "/a/x%2Fy"), some(&["x%2Fy"]));
        assert_eq!(captured("/a/{id}", "/a/x/y"), None);
        assert_eq!(captured("/a/{id}", "/a/"), None);
        assert_eq!(captured("/a/{id}/b/{c.d}", "/a/1/b/2"), some(&["1", "2"]));
        assert_eq!(captured("/a/{name=**}", "/a/x/y/z"), some(&["x/y/z"]));
        assert_eq!(captured("/a/{name=**}", "/a/"), None);
        assert_eq!(captured("/a/{name=**}/prices", "/a/x/y/prices"), some(&["x/y"]));
        assert_eq!(captured("/a/{name=**}/prices", "/a/prices"), None);
        assert_eq!(captured("/{name=orgs/*/keys/*}/b", "/orgs/1/keys/2/b"), some(&["orgs/1/keys/2"]));
        assert_eq!(captured("/{name=orgs/*/keys/*}/b", "/orgs/1/kees/2/b"), None);
        assert_eq!(captured("/a", "/a"), some(&[]));
        assert_eq!(captured("/a", "/a/"), None);
    }

    #[test]
    fn verbs_stand_at_the_end() {
        assert_eq!(captured("/a/{id}:rotate", "/a/x:y:rotate"), some(&["x:y"]));
        assert_eq!(captured("/a/{id}:rotate", "/a/:rotate"), None);
        assert_eq!(captured("/a/{id}:rotate", "/a/x"), None);
        assert_eq!(captured("/a:restore", "/a:restore"), some(&[]));
        assert_eq!(captured("/a/{n=**}:test", "/a/b/c:test"), some(&["b/c"]));
    }

    #[test]
    fn what_is_no_template_is_refused() {
        for bad in ["", "a/b", "/a/{b", "/{a=**}/{b=**}", "/{a}b"] {
            assert!(Template::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_narrower_one_comes_first() {
        let mut all = ["/a/{n=**}", "/a/{n}", "/a/b", "/a/{n=**}/prices", "/a/{n}:go", "/a/{n=**}:go"]
            .map(|text| Template::parse(text).unwrap());
        all.sort_by_key(Template::breadth);
        let texts = all.each_ref().map(Template::text);
        assert_eq!(texts, ["/a/{n}:go", "/a/{n=**}:go", "/a/b", "/a/{n}", "/a/{n=**}/prices", "/a/{n=**}"]);
        let shown = all.map(|template| template.shown_with(&["x".to_owned()]));
        assert_eq!(shown, ["/a/{x}:go", "/a/{x}:go", "/a/b", "/a/{x}", "/a/{x}/prices", "/a/{x}"]);
    }
}
