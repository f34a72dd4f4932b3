"""Shows a page in Chromium without a screen: PAGE PICTURE WIDTH light|dark. Prints what was seen, as JSON."""

import json
import os
import sys


def main(page: str, picture: str, width: str, scheme: str) -> None:
    """Load the page, wait, measure it, and take its picture."""
    os.environ["QT_QPA_PLATFORM"] = "offscreen"
    dark = "--blink-settings=preferredColorScheme=" + ("0" if scheme == "dark" else "1")
    os.environ["QTWEBENGINE_CHROMIUM_FLAGS"] = f"--no-sandbox --disable-gpu {dark}"
    from PyQt6.QtCore import QTimer, QUrl
    from PyQt6.QtWebEngineCore import QWebEnginePage, QWebEngineUrlRequestInterceptor
    from PyQt6.QtWebEngineWidgets import QWebEngineView
    from PyQt6.QtWidgets import QApplication

    seen: dict = {"messages": [], "requests": []}

    class Listening(QWebEnginePage):
        def javaScriptConsoleMessage(self, level, message, line, source):  # noqa: N802
            seen["messages"].append(message)

    class Watching(QWebEngineUrlRequestInterceptor):
        def interceptRequest(self, info):  # noqa: N802
            if not info.requestUrl().isLocalFile():
                seen["requests"].append(info.requestUrl().toString())

    app = QApplication(["show"])
    view = QWebEngineView()
    listening, watching = Listening(view), Watching()
    listening.setUrlRequestInterceptor(watching)
    view.setPage(listening)
    view.resize(int(width), 1600)
    view.show()
    measure = (
        "[document.querySelectorAll('table').length, document.querySelectorAll('svg').length,"
        " document.documentElement.scrollWidth - window.innerWidth]"
    )

    def measured(found: list) -> None:
        seen.update(zip(("tables", "pictures", "overflow"), found, strict=True))
        shot = view.grab().toImage()
        shot.save(picture)
        shown = [shot.pixelColor(x, y) for x in range(0, shot.width(), 3) for y in range(0, shot.height(), 3)]
        seen["colours"] = len({colour.rgb() for colour in shown})
        seen["background"] = shot.pixelColor(2, 2).lightness()
        sys.stdout.write(json.dumps(seen) + "\n")
        app.quit()

    def loaded(well: bool) -> None:
        assert well
        QTimer.singleShot(1500, lambda: listening.runJavaScript(measure, measured))

    view.loadFinished.connect(loaded)
    view.load(QUrl.fromLocalFile(page))
    QTimer.singleShot(90_000, lambda: app.exit(1))
    status = app.exec()
    sys.stdout.flush()
    os._exit(status)  # Chromium's own teardown sometimes does not return


if __name__ == "__main__":
    main(*sys.argv[1:])
