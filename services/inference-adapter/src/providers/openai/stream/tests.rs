use headgate_proto::inference::v1::Dialect;

use super::*;

const CHUNK: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"},\"finish_reason\":null}],\"odd\":1e400}\n\n";
const FINISH: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
const USAGE: &str = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}\n\n";
const COMMENT: &str = ": ping\n\n";
const DONE: &str = "data: [DONE]\n\n";

fn chunks(include_usage: bool) -> OpenAiChunks {
    OpenAiChunks::new(ChatForm {
        encoding: Encoding::Dialect(Dialect::OpenaiChat),
        choices: 1,
        include_usage,
    })
}

fn events(piece: &StreamChatResponse) -> Bytes {
    match piece.response.as_ref().unwrap().encoding.as_ref() {
        Some(Piece::DialectEvents(events)) => events.clone(),
        Some(Piece::Typed(_)) => panic!("typed"),
        None => Bytes::new(),
    }
}

/// Everything a stream gives: its events, its pieces' content chunks, how often usage was told, and its failure.
fn run(mut chunks: OpenAiChunks, reads: &[&[u8]]) -> (String, u32, usize, Option<Failure>) {
    let (mut text, mut content, mut told) = (Vec::new(), 0, 0);
    let mut take = |piece: StreamChatResponse| {
        text.extend_from_slice(&events(&piece));
        content += piece.content_chunks;
        told += usize::from(piece.response.unwrap().usage.is_some());
    };
    let mut failure = None;
    for read in reads {
        chunks.push(Bytes::copy_from_slice(read));
        while let Some(piece) = chunks.next() {
            match piece {
                Ok(piece) => take(piece),
                Err(found) => failure = failure.or(Some(found)),
            }
        }
    }
    match chunks.end().filter(|_| failure.is_none()) {
        Some(Ok(piece)) => take(piece),
        Some(Err(found)) => failure = Some(found),
        None => {}
    }
    (String::from_utf8(text).unwrap(), content, told, failure)
}

#[test]
fn a_null_is_left_out() {
    let mut chunks = chunks(true);
    chunks.push(["data: null\n\n", CHUNK, FINISH, DONE].concat().into());
    let piece = chunks.next().unwrap().unwrap();
    assert_eq!(events(&piece), [CHUNK, FINISH, DONE].concat());
    assert!(chunks.done() && chunks.next().is_none());
    let mut typed = OpenAiChunks::new(ChatForm {
        encoding: Encoding::Typed { model: "m".into() },
        choices: 1,
        include_usage: true,
    });
    typed.push(["data: null\n\n", CHUNK].concat().into());
    assert_eq!(typed.next().unwrap().unwrap().content_chunks, 1);
}

#[test]
fn every_cut_gives_the_same_bytes() {
    let input = [COMMENT, CHUNK, CHUNK, FINISH, USAGE, DONE].concat();
    let hidden = [COMMENT, CHUNK, CHUNK, FINISH, DONE].concat();
    for at in 0..input.len() {
        let (first, second) = input.as_bytes().split_at(at);
        assert_eq!(run(chunks(true), &[first, second]), (input.clone(), 2, 1, None));
        assert_eq!(run(chunks(false), &[first, second]), (hidden.clone(), 2, 1, None));
    }
    let bytes: Vec<&[u8]> = input.as_bytes().chunks(1).collect();
    assert_eq!(run(chunks(false), &bytes), (hidden, 2, 1, None));
}

#[test]
fn whole_events_of_a_read_are_a_slice_of_it() {
    let read = Bytes::from([CHUNK, CHUNK, "data: {"].concat());
    let mut chunks = chunks(false);
    chunks.push(read.clone());
    let piece = events(&chunks.next().unwrap().unwrap());
    assert_eq!((piece.as_ptr(), piece.len()), (read.as_ptr(), 2 * CHUNK.len()));
    assert!(chunks.next().is_none());
}

#[test]
fn an_early_end_is_a_failure_after_what_came() {
    for ending in ["", "data: {\"cho", COMMENT, "data: [DON"] {
        let input = [CHUNK, ending].concat();
        let (text, content, _, failure) = run(chunks(true), &[input.as_bytes()]);
        assert_eq!((content, failure), (1, Some(failure::cut())), "{ending}");
        assert!(text.starts_with(CHUNK));
    }
    let cut_in_usage = [CHUNK, FINISH, "data: {\"choices\":[],\"us"].concat();
    assert_eq!(run(chunks(true), &[cut_in_usage.as_bytes()]).3, Some(failure::cut()));
}

#[test]
fn a_missing_end_marker_is_made_up_only_after_every_choice_ended() {
    let whole = [CHUNK, FINISH, USAGE].concat();
    assert_eq!(run(chunks(true), &[whole.as_bytes()]), (whole.clone() + DONE, 1, 1, None));
    let two = ChatForm { encoding: Encoding::Dialect(Dialect::OpenaiChat), choices: 2, include_usage: true };
    assert_eq!(run(OpenAiChunks::new(two), &[whole.as_bytes()]).3, Some(failure::cut()));
    // The last blank line may be missing.
    let (text, .., failure) = run(chunks(true), &[whole.as_bytes(), b"data: [DONE]\n"]);
    assert_eq!((text, failure), (whole + DONE, None));
}

#[test]
fn errors_and_nonsense_end_the_stream() {
    let cases = [
        ("data: {\"error\":{\"message\":\"out of memory\",\"code\":500}}\n\n", ErrorReason::UpstreamFailed),
        ("event: error\ndata: boom\n\n", ErrorReason::UpstreamFailed),
        ("data: nonsense\n\n", ErrorReason::UpstreamInvalid),
        ("<!DOCTYPE html>\n<html>\n\n", ErrorReason::UpstreamInvalid),
        ("{\"error\":{\"message\":\"no event\"}}\n\n", ErrorReason::UpstreamInvalid),
    ];
    for (bad, reason) in cases {
        let (text, _, _, failure) = run(chunks(true), &[[CHUNK, bad, CHUNK].concat().as_bytes()]);
        assert_eq!((text.as_str(), failure.unwrap().reason), (CHUNK, reason), "{bad}");
    }
}

#[test]
fn usage_beside_content_is_told_once_at_the_end() {
    let beside = CHUNK.replace("1e400", "1,\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1}");
    let input = [beside.as_str(), &beside, FINISH, DONE].concat();
    assert_eq!(run(chunks(false), &[input.as_bytes()]), (input.clone(), 2, 1, None));
}

#[test]
fn typed_pieces_are_an_event_each() {
    let encoding = Encoding::Typed { model: "mine".into() };
    let mut chunks = OpenAiChunks::new(ChatForm { encoding, choices: 1, include_usage: false });
    chunks.push(Bytes::from([COMMENT, CHUNK, CHUNK, FINISH, USAGE, DONE].concat()));
    let mut contents = Vec::new();
    let mut usage = Vec::new();
    while let Some(piece) = chunks.next() {
        let response = piece.unwrap().response.unwrap();
        usage.extend(response.usage.map(|u| (u.prompt_tokens, u.completion_tokens)));
        if let Some(Piece::Typed(delta)) = response.encoding {
            assert_eq!(delta.model, "mine");
            contents.extend(delta.choices.into_iter().map(|choice| choice.content));
        }
    }
    assert_eq!((contents.concat().as_str(), contents.len(), usage), ("aa", 3, vec![(3, 2)]));
    assert!(chunks.done() && chunks.end().is_none());
}
