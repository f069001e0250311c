"""The operations on templates: what each needs, reads and answers."""

from postroom.ingress.http.language import ACCEPT_LANGUAGE
from postroom.ingress.http.table import SUBMIT_HEADERS
from postroom.ingress.http.templates import MAX_LOOK, MAX_STORE, TemplateDoors
from postroom.schema import answers, template_answers
from postroom.schema.template_bodies import LintBody, PreviewBody, StoreBody, TestBody
from postroom.web.gate import Operation

_JSON = frozenset({"application/json"})


def template_operations(doors: TemplateDoors) -> list[Operation]:
    """Return the table."""
    return [*_looking(doors), *_changing(doors), *_trying(doors)]


def _looking(doors: TemplateDoors) -> list[Operation]:
    return [
        Operation(
            method="GET",
            path="/v1/templates",
            endpoint=doors.all,
            needs="read",
            summary="List templates",
            description="Those of the directory, stored ones, then those of packages and of Postroom.",
            answers={200: ("Every template the key can use.", template_answers.TemplateListAnswer)},
        ),
        Operation(
            method="GET",
            path="/v1/templates/{name}",
            endpoint=doors.one,
            needs="read",
            summary="One template with its sources",
            description="`name` as a mail writes it: `NAME`, `NAME@VERSION` or `PACKAGE:NAME`.",
            answers={200: ("The template.", template_answers.ShownTemplateAnswer)},
        ),
        Operation(
            method="GET",
            path="/v1/templates/{name}/versions",
            endpoint=doors.versions,
            needs="read",
            summary="The versions of a stored template",
            answers={200: ("Newest first.", template_answers.VersionListAnswer)},
        ),
        Operation(
            method="GET",
            path="/v1/templates/{name}/versions/{number}",
            endpoint=doors.version,
            needs="read",
            summary="One version with its sources",
            answers={200: ("The version.", template_answers.ShownTemplateAnswer)},
        ),
    ]


def _changing(doors: TemplateDoors) -> list[Operation]:
    return [
        Operation(
            method="POST",
            path="/v1/templates",
            endpoint=doors.store,
            needs="operate",
            summary="Store a new version of a template",
            description="Every variant is compiled first: what is stored can be sent. It never changes.",
            media_types=_JSON,
            max_body=MAX_STORE,
            body=StoreBody,
            answers={201: ("Stored; Location names it.", template_answers.StoredTemplateAnswer)},
        ),
        Operation(
            method="POST",
            path="/v1/templates/{name}/versions/{number}/publish",
            endpoint=doors.publish,
            needs="operate",
            summary="Use this version from now on",
            description="An older one too: that is how a change is taken back.",
            answers={200: ("The version in use.", template_answers.StoredTemplateAnswer)},
        ),
        Operation(
            method="DELETE",
            path="/v1/templates/{name}",
            endpoint=doors.remove,
            needs="operate",
            summary="Remove a stored template with all its versions",
            description="Mails that were accepted keep their texts.",
            answers={204: ("Removed.", "application/json")},
        ),
    ]


def _trying(doors: TemplateDoors) -> list[Operation]:
    return [
        Operation(
            method="POST",
            path="/v1/templates/preview",
            endpoint=doors.preview,
            needs="read",
            summary="Show the mail that a template makes",
            description="Rendered as when it is sent. `Accept: text/html` answers the page, `Accept: "
            "message/rfc822` the bytes of the whole mail.",
            media_types=_JSON,
            max_body=MAX_LOOK,
            body=PreviewBody,
            answers={200: ("The mail.", template_answers.PreviewAnswer)},
        ),
        Operation(
            method="POST",
            path="/v1/templates/test",
            endpoint=doors.test,
            needs="send",
            summary="Send a preview to one address",
            description="The mail has the tag `template-test` and is otherwise the very mail.",
            media_types=_JSON,
            max_body=MAX_LOOK,
            body=TestBody,
            parameters=[*SUBMIT_HEADERS, ACCEPT_LANGUAGE],
            answers={
                202: ("Stored; it will be sent.", answers.AcceptedAnswer),
                200: ("With `Prefer: wait`: every recipient has its final state.", answers.MessageAnswer),
            },
        ),
        Operation(
            method="POST",
            path="/v1/templates/lint",
            endpoint=doors.lint,
            needs="read",
            summary="Check a template or a source",
            description="What breaks, what cannot be read, what filters distrust. The codes are in "
            "`docs/templates.md`.",
            media_types=_JSON,
            max_body=MAX_LOOK,
            body=LintBody,
            answers={200: ("What was found, also when it is nothing.", template_answers.LintAnswer)},
        ),
    ]
