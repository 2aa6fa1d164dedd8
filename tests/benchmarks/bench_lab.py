"""JupyterLab in a browser: opened until the first cell shows something, and a large paste until the table answers.

Seconds of the wall, browser and sandbox on the same machine; without chromium or JupyterLab there is no figure.
"""

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.browser.jupyterlab_page import missing, opened

LINES = 20_000
PASTE = """(area, text) => {
  window.pasted = performance.now();
  const form = area.closest('.misp-playbook');
  new MutationObserver((_, observer) => {
    if ([...form.querySelectorAll('p')].some(line => line.textContent.startsWith('20,000 entries'))) {
      window.answered = performance.now();
      observer.disconnect();
    }
  }).observe(form, {childList: true, subtree: true});
  area.value = text;
  area.dispatchEvent(new Event('input', {bubbles: true}));
}"""


def run() -> Sequence[Sequence[object]]:
    """Open the lab on the sandbox and go as far as the values."""
    if reason := missing():
        return [(reason, "", "", "")]
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, opened(Path(folder), "--sandbox") as lab:
        lab.run("misp_modules_url: str")
        lab.run("PlaybookParameters.collect")
        lab.run("Playbook.open")
        first = time.perf_counter() - begun
        for words in ("run.find_modules", "run.warninglists", "forms.choose_list"):
            lab.run(words)
        lab.control("forms.choose_list", "warninglist_name").fill("Mine")
        for words in ("run.select_warninglist", "run.details", "forms.values"):
            lab.run(words)
        text = "\n".join(f"host{number}.example{number % 50}.org # comment" for number in range(LINES))
        lab.control("forms.values", "warninglist_values").evaluate(PASTE, text)
        lab.page.wait_for_function("window.answered > 0")
        seconds = lab.page.evaluate("(window.answered - window.pasted) / 1000")
    return [
        ("opening JupyterLab to the first result", f"{first:.1f} s", "15 s wanted", f"{first / 15:.2f}"),
        (f"a paste of {LINES:,} lines to the table", f"{seconds:.2f} s", "1 s wanted", f"{seconds:.2f}"),
    ]
