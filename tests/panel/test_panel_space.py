"""The space key in a real browser, on a page with what viser's keys leave out."""

from __future__ import annotations

import pytest

pytest.importorskip("viser")
pytest.importorskip("rclpy")

import chromium

from xlvla_cli.panel.page import SPACE

PAGE = """<input type=checkbox id=box><input role=combobox aria-expanded=false id=closed>
<input role=combobox aria-expanded=true id=open><input type=text id=text><button id=button></button>
<script>
  window.stops = 0;
  document.documentElement.addEventListener('keydown', event => {
    if (event.target.tagName !== 'INPUT' && event.code === 'Space') window.stops++;
  });
</script>"""
"""Keys of viser are heard at the root of the page, but from no element for input."""


@pytest.mark.long
@pytest.mark.skipif(not chromium.PATH, reason="there is no chromium")
def test_the_space_key_stops_though_a_check_box_or_a_list_was_touched_last(tmp_path):
    file = tmp_path / "page.html"
    file.write_text(f"{PAGE}<div>{SPACE}</div>")
    with chromium.Chromium(file.as_uri(), tmp_path / "profile") as page:
        page.until("window.xlvlaSpace")
        stopped = []
        for name in ("button", "box", "closed", "open", "text"):
            page.evaluate(f"document.getElementById('{name}').focus(); window.stops = 0")
            page.press_space()
            if page.evaluate("window.stops") == 1:
                stopped.append(name)
        assert stopped == ["button", "box", "closed"]
        assert not page.evaluate("document.getElementById('box').checked")
