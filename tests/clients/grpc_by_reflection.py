#!/usr/bin/env python3
"""Uses a gateway over gRPC knowing no proto file: everything is learned through server reflection.

grpcio's reflection client speaks v1alpha; v1 is asked by the same messages under its own name.
"""

import argparse

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from checks import Checks, equal

checks = Checks()
SERVICE = "headgate.inference.v1.InferenceService"


class Gateway:
    """A channel, and what reflection told about the service behind it."""

    def __init__(self, args):
        self.model = args.model
        self.max_tokens = args.max_tokens
        self.channel = grpc.insecure_channel(args.address)
        self.database = ProtoReflectionDescriptorDatabase(self.channel)
        self.pool = descriptor_pool.DescriptorPool(self.database)
        self.service = self.pool.FindServiceByName(SERVICE)
        self.credential = [("authorization", f"Bearer {args.api_key}")]

    def method(self, name):
        """A callable for one method, made from its descriptor."""
        method = self.service.methods_by_name[name]
        answer = message_factory.GetMessageClass(method.output_type)
        make = self.channel.unary_stream if method.server_streaming else self.channel.unary_unary
        return make(
            f"/{SERVICE}/{name}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=answer.FromString,
        )

    def message(self, name, **fields):
        return message_factory.GetMessageClass(self.pool.FindMessageTypeByName(f"headgate.inference.v1.{name}"))(**fields)

    def prompt(self, **fields):
        text = self.message("ContentPart", text="Count to three.")
        user = self.pool.FindEnumTypeByName("headgate.inference.v1.ChatRole").values_by_name["CHAT_ROLE_USER"].number
        message = self.message("ChatMessage", role=user, content=[text])
        typed = self.message("ChatPrompt", messages=[message], max_output_tokens=self.max_tokens)
        return self.message("ChatRequest", **({"model": self.model, "typed": typed} | fields))


def fails(code, call):
    try:
        call()
    except grpc.RpcError as error:
        equal(error.code(), code)
        return error
    raise AssertionError(f"nothing raised, expected {code}")


@checks.add
def reflection_lists_the_service(gateway):
    assert SERVICE in gateway.database.get_services(), "v1alpha does not list it"
    # v1's messages have v1alpha's fields and numbers; only the package differs.
    v1 = gateway.channel.stream_stream(
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    answer = next(v1(iter([reflection_pb2.ServerReflectionRequest(list_services="")])))
    assert SERVICE in [service.name for service in answer.list_services_response.service], "v1 does not list it"
    symbol = next(v1(iter([reflection_pb2.ServerReflectionRequest(file_containing_symbol=SERVICE)])))
    files = [descriptor_pb2.FileDescriptorProto.FromString(f) for f in symbol.file_descriptor_response.file_descriptor_proto]
    assert any(file.package == "headgate.inference.v1" for file in files), "v1 does not describe it"


@checks.add
def health_is_serving(gateway):
    stub = health_pb2_grpc.HealthStub(gateway.channel)
    for service in ("", SERVICE):
        answer = stub.Check(health_pb2.HealthCheckRequest(service=service))
        equal(answer.status, health_pb2.HealthCheckResponse.SERVING)


@checks.add
def chat(gateway):
    answer, call = gateway.method("Chat").with_call(gateway.prompt(), metadata=gateway.credential)
    equal(answer.WhichOneof("encoding"), "typed")
    equal(answer.typed.model, gateway.model)
    equal(len(answer.typed.choices), 1)
    assert answer.typed.choices[0].message.content[0].text, "no content"
    assert 0 < answer.usage.completion_tokens <= gateway.max_tokens
    assert answer.usage.prompt_tokens > 0
    assert "x-request-id" in dict(call.initial_metadata()), "no request id"


@checks.add
def stream_chat(gateway):
    request = gateway.message("StreamChatRequest", request=gateway.prompt())
    pieces = list(gateway.method("StreamChat")(request, metadata=gateway.credential))
    assert all(piece.WhichOneof("encoding") in ("typed", None) for piece in pieces)
    text = "".join(choice.content for piece in pieces for choice in piece.typed.choices)
    assert text, "no content"
    reasons = [choice.finish_reason for piece in pieces for choice in piece.typed.choices if choice.finish_reason]
    equal(len(reasons), 1)
    usages = [piece.usage for piece in pieces if piece.HasField("usage")]
    equal(len(usages), 1)
    assert 0 < usages[0].completion_tokens <= gateway.max_tokens


@checks.add
def list_models(gateway):
    answer = gateway.method("ListModels")(gateway.message("ListModelsRequest"), metadata=gateway.credential)
    assert gateway.model in [model.name for model in answer.models]


@checks.add
def refusals_have_codes(gateway):
    call = gateway.method("Chat")
    fails(grpc.StatusCode.UNAUTHENTICATED, lambda: call(gateway.prompt()))
    wrong = [("authorization", "Bearer sk-acme.not-the-secret")]
    fails(grpc.StatusCode.UNAUTHENTICATED, lambda: call(gateway.prompt(), metadata=wrong))
    unknown = gateway.prompt(model="no-such-model")
    fails(grpc.StatusCode.NOT_FOUND, lambda: call(unknown, metadata=gateway.credential))
    empty = gateway.prompt(typed=gateway.message("ChatPrompt"))
    fails(grpc.StatusCode.INVALID_ARGUMENT, lambda: call(empty, metadata=gateway.credential))


@checks.add
def internal_services_are_closed_to_consumers(gateway):
    method = "/headgate.router.v1.RoutingService/GetState"
    call = gateway.channel.unary_unary(method, request_serializer=bytes, response_deserializer=bytes)
    error = fails(grpc.StatusCode.UNAUTHENTICATED, lambda: call(b"", metadata=gateway.credential))
    assert error.details(), "no reason given"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address", help="HOST:PORT of the gRPC listener")
    parser.add_argument("api_key")
    parser.add_argument("model")
    parser.add_argument("--max-tokens", type=int, default=16)
    return parser.parse_args()


if __name__ == "__main__":
    checks.run(Gateway(arguments()))
