"""Our placeholders as templates of an agent; what a real agent makes of them is in the contract
suite, here a reader of the few forms that are used takes its place.
"""

from __future__ import annotations

import hashlib
import json
import re
from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from installer.core.agent_templates import agent_marker, agent_template
from installer.core.errors import StackError
from installer.core.secrets import Secret, expand

ACTION = re.compile(
    r'\{\{ with secret "path/(?P<name>[^"]*)" \}\}\{\{ \.Data\.data\.value(?P<pipe>[^}]*) \}\}'
    r'\{\{ end \}\}|\{\{"(?P<text>[^"]*)"\}\}'
)
PIPES = {
    "": str,
    ' | sha256Hex | printf "%.8s"': lambda v: hashlib.sha256(v.encode()).hexdigest()[:8],
    ' | toUnescapedJSON | trimPrefix "\\"" | trimSuffix "\\""': lambda v: go_json(v)[1:-1],
    " | sha256Hex": lambda v: hashlib.sha256(v.encode()).hexdigest(),
    ' | urlquery | replaceAll "+" "%20"': lambda v: quote_plus(v).replace("+", "%20"),
}


def go_json(value: str) -> str:
    """As Go's encoder without HTML escapes: all but two line separators of Unicode as they are."""
    text = json.dumps(value, ensure_ascii=False)
    return text.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def read(template: str, values: dict[str, str]) -> str:
    """What an agent would render; refuses a `{{` that is no known action."""
    made, end = [], 0
    while (start := template.find("{{", end)) >= 0:
        match = ACTION.match(template, start)
        assert match, template[start:]
        made.append(template[end:start])
        if match["text"] is not None:
            made.append(match["text"].replace("\\x24", "$"))
        else:
            made.append(PIPES[match["pipe"]](values[match["name"]]))
        end = match.end()
    return "".join((*made, template[end:]))


PIECES = st.sampled_from(
    ["{", "{{", "}}", "}", "$", "$${", "a", "\n", '"', "\\", "${a}", "${id:b}", "${json:a}",
     "${sha256:b}", "${url:a}", "\u00e9", "-"]
)  # fmt: skip
VALUES = st.text(st.characters(exclude_categories=["Cs"]))


@given(st.lists(PIECES).map("".join), VALUES, VALUES)
def test_a_template_renders_what_the_installer_would_deliver(text: str, a: str, b: str) -> None:
    try:
        wanted = expand(text, {"a": Secret(a), "b": Secret(b)}).reveal()
    except StackError:
        with pytest.raises(StackError):
            agent_template(text, "path/{}".format)
        return
    template = agent_template(text, "path/{}".format)
    assert read(template, {"a": a, "b": b}) == wanted
    assert "${" not in template


@pytest.mark.parametrize(
    ("text", "template"),
    [
        ("no secret", "no secret"),
        ("${a}", '{{ with secret "path/a" }}{{ .Data.data.value }}{{ end }}'),
        ("{{ x }}", '{{"{{"}} x }}'),
        ("{${a}", '{{"{"}}{{ with secret "path/a" }}{{ .Data.data.value }}{{ end }}'),
        ("$${a}", '{{"\\x24{"}}a}'),
        ('{"a": 1, "cost": "5 $ net"}', '{"a": 1, "cost": "5 $ net"}'),
    ],
)
def test_only_what_an_agent_would_misread_is_changed(text: str, template: str) -> None:
    assert agent_template(text, "path/{}".format) == template


@pytest.mark.parametrize("text", ["${rot13:a}", "${a", "x ${id:a} ${"])
def test_a_placeholder_that_the_installer_refuses_is_refused(text: str) -> None:
    with pytest.raises(StackError) as caught:
        agent_template(text, "path/{}".format)
    assert caught.value.problems[0].code == "stack.placeholder"


def test_the_marker_names_each_secret_once_and_changes_with_every_look() -> None:
    marker = agent_marker(["${b} ${id:a}", "$${c} ${b}"], "path/{}".format)
    assert marker == (
        'a {{ with secret "path/a" }}{{ .Data.metadata.version }}{{ end }}\n'
        'b {{ with secret "path/b" }}{{ .Data.metadata.version }}{{ end }}\n'
        "{{ timestamp }}\n"
    )
    assert "data.value" not in marker
