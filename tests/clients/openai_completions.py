#!/usr/bin/env python3
"""Uses a gateway's completions through OpenAI's own SDK, as an application of the older API would.

Asserts shapes, counts and error classes, never what a model says.
"""

import argparse

import openai
from openai import OpenAI

from checks import Checks, equal

checks = Checks()


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("base_url")
    parser.add_argument("api_key")
    parser.add_argument("model")
    parser.add_argument("--max-tokens", type=int, default=16)
    return parser.parse_args()


def create(args, **more):
    client = OpenAI(base_url=args.base_url, api_key=args.api_key, max_retries=0, timeout=120)
    asked = {"model": args.model, "prompt": "One, two, three,", "max_tokens": args.max_tokens} | more
    return client.completions.create(**asked)


@checks.add
def whole(args):
    completion = create(args)
    equal((completion.object, completion.model), ("text_completion", args.model))
    assert isinstance(completion.choices[0].text, str) and completion.choices[0].text
    assert completion.choices[0].finish_reason in ("stop", "length")
    usage = completion.usage
    assert usage.prompt_tokens > 0
    assert 0 < usage.completion_tokens <= args.max_tokens
    equal(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens)


@checks.add
def stream_with_usage(args):
    chunks = list(create(args, stream=True, stream_options={"include_usage": True}))
    assert all((chunk.object, chunk.model) == ("text_completion", args.model) for chunk in chunks)
    assert "".join(choice.text for chunk in chunks for choice in chunk.choices), "no text"
    reasons = [choice.finish_reason for chunk in chunks for choice in chunk.choices if choice.finish_reason]
    equal(len(reasons), 1)
    # Alone, as OpenAI has it, or beside the last choice.
    equal([bool(chunk.usage) for chunk in chunks], [False] * (len(chunks) - 1) + [True])
    assert 0 < chunks[-1].usage.completion_tokens <= args.max_tokens


@checks.add
def stream_without_usage(args):
    chunks = list(create(args, stream=True))
    assert all(chunk.choices for chunk in chunks), "a usage chunk was not asked for"


@checks.add
def several_prompts(args):
    completion = create(args, prompt=["One, two,", "Three, four,"])
    equal([choice.index for choice in completion.choices], [0, 1])
    texts = {0: "", 1: ""}
    for chunk in create(args, prompt=["One, two,", "Three, four,"], stream=True):
        for choice in chunk.choices:
            texts[choice.index] += choice.text
    assert all(texts.values()), texts


@checks.add
def an_empty_prompt_is_a_bad_request_error(args):
    try:
        create(args, prompt=[])
    except openai.BadRequestError as raised:
        equal((raised.status_code, raised.param), (400, "prompt"))
        return
    raise AssertionError("nothing raised")


if __name__ == "__main__":
    checks.run(arguments())
