"""The keystore of a rig: its form, its signatures, and what a shell that asks for security is
told.
"""

import os
import stat
import subprocess
import sys
from dataclasses import replace
from xml.etree import ElementTree as xml

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("cryptography")

from xlvla import graph, rig_file, security
from xlvla.errors import XlvlaError
from xlvla_cli.ros import keystore
from xlvla_cli.ros.access import access

DOMAIN = 9
RIG = rig_file.load("bimanual")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A keystore of a rig, and who may do what."""
    folder = tmp_path_factory.mktemp("made") / "keystore"
    enclaves = access(RIG)
    keystore.write(folder, enclaves, DOMAIN)
    return folder, enclaves


def openssl(*arguments):
    try:
        return subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("no openssl here")


def test_every_node_and_the_operator_have_an_enclave_with_all_that_ros_looks_for(made):
    folder, enclaves = made
    assert set(enclaves) == {
        f"/bimanual/{name}" for name in ("sim", "joint_states", "motion", "policy", "operator")
    }
    for name in enclaves:
        files = {
            path.name for path in security.enclave_folder(folder, name).iterdir() if path.is_file()
        }
        signed = {
            "governance.p7s",
            "permissions.p7s",
            "identity_ca.cert.pem",
            "permissions_ca.cert.pem",
        }
        assert files == {"cert.pem", "key.pem", "permissions.xml", *signed}


def test_documents_are_signed_by_the_authority_and_every_change_shows(made, tmp_path):
    folder, enclaves = made
    authority = folder / "public" / "permissions_ca.cert.pem"
    for name in enclaves:
        for file in ("governance.p7s", "permissions.p7s"):
            path = security.enclave_folder(folder, name) / file
            checked = openssl("smime", "-verify", "-text", "-in", path, "-CAfile", authority)
            assert checked.returncode == 0, checked.stderr
            xml.fromstring(checked.stdout)
    forged = tmp_path / "forged.p7s"
    forged.write_text(
        path.read_text().replace("<default>DENY</default>", "<default>ALLOW</default>")
    )
    assert (
        "ALLOW" not in forged.read_text()
        or openssl("smime", "-verify", "-text", "-in", forged, "-CAfile", authority).returncode != 0
    )
    forged.write_text(
        (security.enclave_folder(folder, "/bimanual/policy") / "permissions.p7s")
        .read_text()
        .replace("rt/", "rx/", 1)
    )
    assert openssl("smime", "-verify", "-text", "-in", forged, "-CAfile", authority).returncode != 0


def test_certificates_are_of_the_authority_and_name_their_enclave(made):
    folder, enclaves = made
    for name in enclaves:
        certificate = security.enclave_folder(folder, name) / "cert.pem"
        assert (
            openssl(
                "verify", "-CAfile", folder / "public" / "identity_ca.cert.pem", certificate
            ).returncode
            == 0
        )
        said = openssl(
            "x509", "-in", certificate, "-noout", "-subject", "-nameopt", "RFC2253"
        ).stdout
        assert said.strip() == f"subject=CN={name}"


def test_permissions_name_topics_and_deny_the_rest(made):
    folder, enclaves = made
    for name, may in enclaves.items():
        grant = xml.parse(security.enclave_folder(folder, name) / "permissions.xml").find(
            "permissions/grant"
        )
        assert [part.tag for part in grant] == ["subject_name", "validity", "allow_rule", "default"]
        assert grant.get("name") == name and grant.findtext("subject_name") == f"CN={name}"
        assert [part.tag for part in grant.find("allow_rule")] == [
            "domains",
            "publish",
            "subscribe",
        ]
        assert grant.findtext("allow_rule/domains/id") == str(DOMAIN)
        assert grant.findtext("default") == "DENY"
        for kind in ("publish", "subscribe"):
            assert [
                topic.text for topic in grant.findall(f"allow_rule/{kind}/topics/topic")
            ] == sorted(getattr(may, kind))
        assert not any("*" in topic or "?" in topic for topic in may.publish | may.subscribe)


def test_governance_lets_nobody_unknown_in(made):
    rule = xml.parse(made[0] / "enclaves" / "governance.xml").find(
        "domain_access_rules/domain_rule"
    )
    assert rule.findtext("domains/id") == str(DOMAIN)
    assert rule.findtext("allow_unauthenticated_participants") == "false"
    assert rule.findtext("enable_join_access_control") == "true"
    topic = rule.find("topic_access_rules/topic_rule")
    assert topic.findtext("topic_expression") == "*"
    assert (
        topic.findtext("enable_read_access_control")
        == topic.findtext("enable_write_access_control")
        == "true"
    )


def test_commands_are_for_motion_to_publish_and_orders_for_the_operator(made):
    _, enclaves = made
    who = {
        topic: {name for name, may in enclaves.items() if topic in may.publish}
        for may in enclaves.values()
        for topic in may.publish
    }
    for side in RIG.sides:
        assert (
            who[f"rt/{side}/arm/command"] == who[f"rt/{side}/hand/command"] == {"/bimanual/motion"}
        )
    for order in ("engage", "estop", "reset", "home"):
        assert who[f"rq/motion/{order}Request"] == {"/bimanual/operator"}
        assert who[f"rr/motion/{order}Reply"] == {"/bimanual/motion"}
    assert who["rt/clock"] == {"/bimanual/sim"}


def test_keys_are_their_users_alone(made):
    for path in made[0].rglob("*"):
        if not path.is_symlink():
            assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path


def test_writing_again_keeps_authority_and_keys(made):
    folder, enclaves = made
    kept = {path: path.read_bytes() for path in folder.rglob("*.pem")}
    keystore.write(folder, enclaves, DOMAIN + 1)
    assert kept == {path: path.read_bytes() for path in folder.rglob("*.pem")}
    assert (
        "<id>10</id>"
        in (folder / "enclaves" / "bimanual" / "motion" / "permissions.xml").read_text()
    )
    keystore.write(folder, enclaves, DOMAIN)


def test_a_keystore_whose_authority_is_elsewhere_is_left_alone(tmp_path):
    enclaves = {"/bimanual/motion": access(RIG)["/bimanual/motion"]}
    keystore.write(tmp_path / "keystore", enclaves, DOMAIN)
    (tmp_path / "keystore" / "private" / "ca.key.pem").unlink()
    with pytest.raises(XlvlaError, match=r"has no private/ca.key.pem"):
        keystore.write(tmp_path / "keystore", enclaves, DOMAIN)


def test_a_tracker_that_is_no_node_of_ours_gets_an_enclave_for_what_it_says():
    enclaves = access(replace(rig_file.load("teleop_topics"), policy=None))
    assert "rt/tracker/left/wrist" in enclaves["/teleop_topics/tracker"].publish
    assert not {
        name
        for name in enclaves["/teleop_topics/tracker"].publish
        if "motion" in name or "command" in name
    }


def test_a_rig_whose_name_no_enclave_can_bear_is_refused():
    with pytest.raises(XlvlaError, match="the rig's name 'my rig' cannot be that of an enclave"):
        access(replace(RIG, name="my rig"))


def test_nodes_get_their_enclave_only_where_the_shell_asks_for_security():
    spec = next(spec for spec in graph.nodes(RIG) if spec.name == "motion")
    assert security.arguments(RIG, spec, {}) == []
    assert security.arguments(RIG, spec, {security.ENABLE: "true"}) == [
        "--enclave",
        "/bimanual/motion",
    ]


def xlvla(*arguments, **shell):
    command = [sys.executable, "-m", "xlvla", *arguments]
    return subprocess.run(
        command, env=os.environ | shell, capture_output=True, text=True, timeout=120
    )


def test_the_command_writes_it_and_says_how_to_use_it(tmp_path):
    ran = xlvla("secure", "bimanual", "--out", str(tmp_path / "keystore"), "--domain", str(DOMAIN))
    assert ran.returncode == 0, ran.stderr
    assert f"5 enclaves of rig 'bimanual' on ROS domain {DOMAIN}" in ran.stdout
    assert f"ROS_SECURITY_KEYSTORE={tmp_path / 'keystore'}" in ran.stdout
    assert "ROS_SECURITY_ENCLAVE_OVERRIDE=/bimanual/operator" in ran.stdout


@pytest.mark.parametrize(
    "command", [("check", "bimanual"), ("run", "bimanual", "--policy", "none")]
)
def test_what_cannot_be_secured_as_the_shell_asks_does_not_start(command, made, tmp_path):
    asked = {security.ENABLE: "true", security.STRATEGY: "Enforce"}
    cases = [
        ({}, f"{security.KEYSTORE} is not set"),
        ({security.KEYSTORE: str(tmp_path)}, "has no enclave of rig 'bimanual' for"),
    ]
    if security.refusal(made[0], "/bimanual/operator"):  # as of the wheels
        cases.append(
            ({security.KEYSTORE: str(made[0])}, "this ROS 2 cannot be secured: its Fast DDS")
        )
    for keys, words in cases:
        ran = xlvla(*command, **asked, **keys)
        assert ran.returncode == 2
        assert words in ran.stderr and len(ran.stderr.splitlines()) == 1
