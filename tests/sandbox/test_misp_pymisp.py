"""PyMISP, as the playbook and its users call it, works against the sandbox's MISP."""

import pytest
from pymisp import MISPAttribute, MISPEvent, MISPWarninglist, PyMISP, PyMISPError

from misp_playbook_lib.sandbox.misp import Misp


@pytest.fixture
def client(misp: Misp) -> PyMISP:
    return PyMISP(misp.url, misp.key, timeout=30)


def test_it_connects_and_learns_who_it_is(misp: Misp, client: PyMISP) -> None:
    assert client.misp_instance_version["version"] == "2.5.1"
    assert client._current_role.perm_warninglist  # noqa: SLF001 - PyMISP keeps it there
    assert not PyMISP(misp.url, misp.plain_key)._current_role.perm_warninglist  # noqa: SLF001 - the same
    assert "ip-dst" in client.describe_types_remote["types"]


def test_a_wrong_key_is_refused(misp: Misp) -> None:
    with pytest.raises(PyMISPError):
        PyMISP(misp.url, "x" * 40)


def test_lists_are_listed_read_enabled_toggled_and_disabled(misp: Misp, client: PyMISP) -> None:
    list_id = misp.add_warninglist("mine", "hostname", "known", [("evil.example", "c")], ["domain"], enabled=False)
    names = {one.name: one for one in client.warninglists(pythonify=True) if isinstance(one, MISPWarninglist)}
    assert names["mine"].type == "hostname"
    assert names["List of RFC 1918 CIDR blocks"].default
    one = client.get_warninglist(list_id, pythonify=True)
    assert isinstance(one, MISPWarninglist)
    assert [(entry["value"], entry["comment"]) for entry in one.WarninglistEntry] == [("evil.example", "c")]
    for change, enabled in (
        (client.enable_warninglist, True),
        (client.disable_warninglist, False),
        (client.toggle_warninglist, True),
    ):
        assert change(list_id)["saved"] is True
        kept = misp.warninglist(list_id)
        assert kept is not None
        assert kept["enabled"] is enabled
    assert client.values_in_warninglist(["www.evil.example", "good.example"]) == {
        "www.evil.example": [{"id": str(list_id), "name": "mine", "matched": "evil.example"}]
    }


def test_a_missing_list_is_returned_as_an_error(client: PyMISP) -> None:
    answer = client.get_warninglist(999)
    assert answer["errors"][0] == 404


def test_lists_are_written_through_direct_call(misp: Misp, client: PyMISP) -> None:
    entries = [{"value": "http://a.example/#frag", "comment": "kept whole"}]
    added = client.direct_call("warninglists/add", {"name": "new", "description": "d", "entries": entries})
    changed = client.direct_call(f"warninglists/edit/{added['Warninglist']['id']}", {"description": "other"})
    assert changed["Warninglist"]["version"] == 2
    kept = misp.warninglist("new")
    assert kept is not None
    assert (kept["description"], kept["entries"]) == ("other", [("http://a.example/#frag", "kept whole")])
    refused = client.direct_call("warninglists/add", {"name": "", "description": "d", "entries": entries})
    assert refused["errors"][0] == 403


def test_a_search_is_paged_and_pythonified(misp: Misp, client: PyMISP) -> None:
    misp.add_event("many", [{"type": "domain", "value": f"d{number}.example"} for number in range(5)])
    pages = [client.search("attributes", limit=2, page=page, pythonify=True) for page in (1, 2, 3, 4)]
    values = [[one.value for one in page if isinstance(one, MISPAttribute)] for page in pages]
    assert values == [["d0.example", "d1.example"], ["d2.example", "d3.example"], ["d4.example"], []]
    (found,) = client.search("attributes", value="d3.example", published=True, pythonify=True)
    assert isinstance(found, MISPAttribute)
    assert found.Event.info == "many"
    (event,) = client.search("events", value="d3.example", pythonify=True)
    assert isinstance(event, MISPEvent)
    assert len(event.attributes) == 5


def test_events_are_added_tagged_published_and_deleted(client: PyMISP) -> None:
    new = MISPEvent()
    new.info = "added"
    new.add_attribute("domain", "a.example", Tag=[{"name": "tlp:green"}])
    new.add_tag("tlp:amber")
    event = client.add_event(new, pythonify=True)
    assert isinstance(event, MISPEvent)
    assert [tag.name for tag in event.tags] == ["tlp:amber"]
    assert client.publish(event)["saved"] is True
    published = client.get_event(event, pythonify=True)
    assert isinstance(published, MISPEvent)
    assert published.published
    attribute = client.add_attribute(event, {"type": "ip-dst", "value": "192.0.2.1"}, pythonify=True)
    assert isinstance(attribute, MISPAttribute)
    assert not client.get_event(event)["Event"]["published"]
    assert client.tag(attribute, "tlp:red")["saved"] is True
    assert "no changes had to be made" in client.tag(attribute, "tlp:red")["message"]
    assert [one["value"] for one in client.search("attributes", tags="tlp:red")["Attribute"]] == ["192.0.2.1"]
    assert client.untag(attribute.uuid, "tlp:red")["saved"] is True
    assert client.delete_attribute(attribute)["message"] == "Attribute deleted."
    assert client.delete_event(event)["saved"] is True
    assert client.get_event(event)["errors"][0] == 404


def test_cached_feeds_are_searched(misp: Misp, client: PyMISP) -> None:
    misp.add_feed("local", ["evil.example"])
    (hit,) = client.search_feeds("EVIL.example")
    assert hit["Feed"]["name"] == "local"


def test_what_a_plain_user_and_a_reading_key_may(misp: Misp) -> None:
    for key in (misp.plain_key, misp.readonly_key):
        client = PyMISP(misp.url, key)
        assert client.direct_call("warninglists/add", {"name": "n"})["errors"][0] == 403
        assert isinstance(client.warninglists(), list)
    assert PyMISP(misp.url, misp.readonly_key)._current_role.perm_warninglist  # noqa: SLF001 - shown, not given
