"""utter bench: the simple form, and the matrix of models, backends, precisions, threads, streams and
inputs. Figures are checked for what they are, never for how large they come out."""
import html.parser
import json
import os
import signal
import statistics
import subprocess
import time
import unittest
import xml.etree.ElementTree

from program import DATA, IDS, KOKORO, MULTI, TINY, UTTER, ProgramTest, main, needs_espeak

FAKE = os.environ["UT_FAKE_ORT"]
REAL = os.environ.pop("UTTER_ONNXRUNTIME", "")
NONE = "/nonexistent/libonnxruntime.so"
PTH = f"{KOKORO}/kokoro-v1_0.pth"
QUICK = ["--rounds", "1", "--runs", "1", "--ids", IDS, "--onnxruntime", NONE]
RUN = {"wall_s", "cpu_s", "audio_s", "first_audio_s", "peak_rss_mb"}


class Simple(ProgramTest):
    def json(self, *args):
        return json.loads(self.ok("bench", "--json", *args).stdout)

    def test_what_computes(self):
        native = self.json("-m", TINY, "--ids", IDS, "--runs", "1", "--cpu", "scalar")
        self.assertEqual((native["backend"], native["computed_by"]), ("native", "scalar kernels"))
        onnx = self.json("-m", TINY, "--ids", IDS, "--runs", "1", "--backend", "onnx", "--onnxruntime", FAKE)
        self.assertEqual((onnx["backend"], onnx["computed_by"]), ("onnx", "ONNX Runtime 1.31.1"))
        table = self.ok("bench", "-m", TINY, "--ids", IDS, "--backend", "onnx", "--onnxruntime", FAKE).stdout.decode()
        self.assertIn("(onnx, ONNX Runtime 1.31.1, threads: ", table)
        self.assertNotIn("kernels", table)

    @needs_espeak
    def test_formant_voice(self):
        answer = self.json("-m", "espeak", "--text", "Hello.", "--runs", "1")
        self.assertRegex(answer["computed_by"], r"^espeak-ng")

    def test_lengths(self):
        """A pad behind every phoneme and marks around in Piper, zeros around in Kokoro."""
        self.assertEqual(self.json("-m", TINY, "--lengths", "20", "--runs", "1")["ids"], 43)
        self.assertEqual(self.json("-m", PTH, "--lengths", "20", "--runs", "1")["ids"], 22)
        self.fails(1, "n_ids", "bench", "-m", PTH, "--lengths", "5000")

    def test_streams(self):
        one = self.json("-m", TINY, "--ids", IDS, "--runs", "1", "--scales", "0.667,1,0")
        three = self.json("-m", TINY, "--ids", IDS, "--runs", "2", "--scales", "0.667,1,0", "--streams", "3")
        self.assertEqual(set(one["runs"][0]), RUN)
        self.assertEqual(set(three["runs"][1]), RUN | {"latency_s"})
        self.assertEqual(three["streams"], 3)
        self.assertAlmostEqual(three["runs"][0]["audio_s"], 3 * one["runs"][0]["audio_s"], places=6)
        self.assertLessEqual(three["runs"][0]["latency_s"], three["runs"][0]["wall_s"])
        text = self.ok("bench", "-m", TINY, "--ids", IDS, "--runs", "1", "--streams", "2").stdout.decode()
        self.assertIn("streams: 2)", text)

    def test_command_line(self):
        self.fails(2, "--text or --ids or --lengths", "bench", "-m", TINY, "--ids", IDS, "--lengths", "5")
        self.fails(2, "1 to 64", "bench", "-m", TINY, "--streams", "65")
        self.fails(2, ["--precisions", "int4"], "bench", "-m", TINY, "--precisions", "f32,int4")
        self.fails(2, ["--backends", "tflite"], "bench", "-m", TINY, "--backends", "tflite")
        self.fails(2, ["--thread-counts", "1 to 256"], "bench", "-m", TINY, "--thread-counts", "1,0")
        self.fails(2, "--lengths", "bench", "-m", TINY, "--lengths", "60,")
        self.fails(2, "more than 16", "bench", *["-m", TINY] * 17)
        self.fails(2, "more than 16", "bench", "-m", TINY, "--precisions", ",".join(["f32"] * 17))
        self.fails(2, "needs its models", "bench", "--rounds", "2")
        self.fails(1, "more than 256 cells", "bench", "-m", TINY, "--thread-counts", "1,2,3,4", "--precisions",
                   "auto,f32,bf16,int8", "--lengths", ",".join(map(str, range(1, 17))), "--stream-counts", "1,2",
                   "--backends", "native")


class Matrix(ProgramTest):
    def matrix(self, *args, code=0, quick=True, **more):
        """The cells, and what was said on standard error."""
        done = self.run_utter("bench", "--json", *(QUICK if quick else []), *args, **more)
        self.assertEqual(done.returncode, code, done.stderr)
        return json.loads(done.stdout)["cells"], done.stderr.decode()

    def test_cells(self):
        cells, _ = self.matrix("-m", TINY, "-m", MULTI, "--precisions", "f32,int8", "--thread-counts", "1,2",
                               "--stream-counts", "1,2", "--backends", "native", "--runs", "2",
                               "--rounds", "2")
        self.assertEqual(len({(c["model"], c["precision"], c["threads"], c["streams"]) for c in cells}), 16)
        self.assertEqual(len({c["cell"] for c in cells}), 16)
        for cell in cells:
            self.assertIsNone(cell["failure"])
            self.assertEqual([len(r["runs"]) for r in cell["rounds"]], [2, 2])
            self.assertEqual(set(cell["rounds"][1]["runs"][1]), RUN | {"latency_s"})

    def test_lengths_and_texts(self):
        cells, _ = self.matrix("-m", TINY, "--lengths", "10,40", "--backends", "native", "--rounds", "1", "--runs", "1",
                               "--scales", "0.667,1,0", quick=False)
        self.assertEqual([c["length"] for c in cells], [10, 40])
        self.assertGreater(cells[1]["summary"]["audio_s"], cells[0]["summary"]["audio_s"])
        # Cells of another length are no comparison: each is its own base.
        self.assertEqual([c["verdict"] for c in cells], ["the base"] * 2)

    def test_figures(self):
        """Everything in a summary follows from the runs."""
        cells, _ = self.matrix("-m", TINY, "--precisions", "f32,int8", "--backends", "native", "--threads", "1",
                               "--rounds", "3", "--runs", "2")
        base = cells[0]
        self.assertEqual([c["base"] for c in cells], [0, 0])
        for cell in cells:
            summary, runs = cell["summary"], [run for r in cell["rounds"] for run in r["runs"]]
            near = lambda name, value: self.assertAlmostEqual(summary[name], value, delta=1e-6 * abs(value) + 1e-12)
            near("latency_mean_s", statistics.mean(r["latency_s"] for r in runs))
            near("latency_std_s", statistics.stdev(r["latency_s"] for r in runs))
            near("rtf_mean", statistics.mean(r["wall_s"] / r["audio_s"] for r in runs))
            near("cpu_rtf_p95", statistics.quantiles([r["cpu_s"] / r["audio_s"] for r in runs], n=20,
                                                     method="inclusive")[18])
            near("throughput", statistics.median(r["audio_s"] / r["wall_s"] for r in runs))
            near("first_audio_s", statistics.median(r["first_audio_s"] for r in runs))
            near("load_s", statistics.median(r["load_s"] for r in cell["rounds"]))
            near("peak_rss_mb", statistics.median(r["runs"][-1]["peak_rss_mb"] for r in cell["rounds"]))
            near("file_mb", os.path.getsize(TINY) / 2**20)
            rtf = lambda r: statistics.median(x["cpu_s"] / x["audio_s"] for x in r["runs"])
            ratios = [rtf(b) / rtf(c) for b, c in zip(base["rounds"], cell["rounds"])]
            for name, value in ("median", statistics.median(ratios)), ("low", min(ratios)), ("high", max(ratios)):
                self.assertAlmostEqual(summary["cpu_ratio"][name], value, places=5)

    def test_base(self):
        def bases(*args):
            cells, _ = self.matrix("-m", TINY, "-m", MULTI, "--precisions", "auto,f32,int8", "--backends", "native",
                                   "--rounds", "1", *args)
            return {c["base"] for c in cells}
        self.assertEqual(bases(), {1})
        self.assertEqual(bases("--base", "tiny_multi.onnx,int8"), {5})
        self.assertEqual(bases("--base", "bf16"), {None})
        # Of another family there is no base but its own.
        cells, _ = self.matrix("-m", TINY, "-m", PTH, "--backends", "native")
        self.assertEqual([c["base"] for c in cells], [0, 1])

    def test_onnx(self):
        """The stand-in library: found, so in the matrix unless backends are named; it is the base then."""
        cells, _ = self.matrix("-m", TINY, "--onnxruntime", FAKE, "--rounds", "1", "--runs", "1", "--ids", IDS,
                               quick=False)
        self.assertEqual([(c["backend"], c["base"]) for c in cells], [("native", 1), ("onnx", 1)])
        self.assertEqual(cells[1]["computed_by"], "ONNX Runtime 1.31.1")
        self.assertEqual(cells[1]["verdict"], "the base")
        cells, _ = self.matrix("-m", TINY)
        self.assertEqual([c["backend"] for c in cells], ["native"])

    @unittest.skipUnless(REAL, "UTTER_ONNXRUNTIME does not name a library")
    def test_real_onnx(self):
        cells, words = self.matrix("-m", TINY, "-m", PTH, "-m", f"{KOKORO}/onnx", "--onnxruntime", REAL, "--rounds", "1",
                                   "--runs", "1", "--lengths", "20", quick=False)
        self.assertEqual([(c["backend"], c["base"]) for c in cells],
                         [("native", 1), ("onnx", 1), ("native", 3), ("onnx", 3)])
        self.assertIn("left out: ", words)

    def test_failing_cells(self):
        cells, _ = self.matrix("-m", TINY, "-m", "missing.onnx", "--backends", "native,onnx", code=1)
        self.assertEqual([bool(c["failure"]) for c in cells], [False, True, True, True])
        self.assertIn("No such file", cells[2]["failure"])
        self.assertIn(NONE, cells[1]["failure"])
        self.assertNotIn("summary", cells[1])
        done = self.run_utter("bench", "-m", TINY, "-m", "missing.onnx", "--backends", "native", *QUICK)
        self.assertEqual(done.returncode, 1)
        self.assertIn("\nmissing native auto: voice 'missing.onnx': No such file", done.stdout.decode())
        done = self.run_utter("bench", "-m", TINY, "-m", "missing.onnx", "--backends", "native", "--thread-counts", "1,2",
                              *QUICK)
        self.assertIn("missing native auto 1t and 1 like it: voice", done.stdout.decode())
        # Of a model that runs nowhere both reasons are told.
        cells, _ = self.matrix("-m", "missing.onnx", "--onnxruntime", FAKE, code=1)
        self.assertEqual([c["backend"] for c in cells], ["native", "onnx"])

    def test_table(self):
        out = self.ok("bench", "-m", TINY, "--precisions", "f32,int8", "--backends", "native", *QUICK)
        lines = out.stdout.decode().split("\n")
        self.assertLessEqual(max(map(len, lines)), 100)
        self.assertEqual(sum("tiny native int8" in line for line in lines), 3)
        self.assertIn("(the base)", out.stdout.decode())
        self.assertEqual(out.stderr, b"")

    def test_json_file(self):
        table = self.ok("bench", "-m", TINY, "--backends", "native", "--json-file", "out.json", *QUICK).stdout
        self.assertIn(b"RTF", table)
        self.assertEqual(len(json.loads(self.get("out.json"))["cells"]), 1)
        message = self.run_utter("bench", "-m", TINY, "--backends", "native", "--json-file", "no/out.json", *QUICK)
        self.assertEqual(message.returncode, 1)
        self.assertIn("no/out.json could not be written", message.stderr.decode())

    def test_profile(self):
        """Of native cells with one stream: stages with their bounds, in JSON always, as tables when asked for."""
        cells, _ = self.matrix("-m", TINY, "-m", PTH, "--backends", "native", "--precisions", "f32,int8", "--stream-counts",
                               "1,2")
        for cell in cells:
            self.assertEqual(bool(cell["stages"]), cell["streams"] == 1)
            for stage in cell["stages"]:
                self.assertEqual(set(stage), {"name", "wall_s", "cpu_s", "macs_f32", "macs_bf16", "macs_int8",
                                              "weight_bytes", "products_bound_s", "reading_bound_s"})
        macs = {(c["model"], c["precision"], k): sum(s["macs_" + k] for s in c["stages"]) for c in cells
                if c["streams"] == 1 for k in ("f32", "int8")}
        for model in TINY, PTH:
            self.assertEqual(macs[model, "f32", "int8"], 0)
            self.assertGreater(macs[model, "int8", "int8"], 0)
            # The same products, whatever they are made in.
            self.assertAlmostEqual((macs[model, "int8", "f32"] + macs[model, "int8", "int8"]) / macs[model, "f32", "f32"],
                                   1, places=6)
        tables = self.ok("bench", "-m", TINY, "--backends", "native", "--profile", *QUICK).stdout.decode()
        self.assertLessEqual(max(map(len, tables.split("\n"))), 100)
        for words in "decoder 1", "of bound", "GMAC/s", "memory is read at":
            self.assertIn(words, tables)
        tables = self.ok("bench", "-m", TINY, "--lengths", "20", "--profile").stdout.decode()
        self.assertIn("decoder 1", tables)
        self.assertNotIn("decoder 1", self.ok("bench", "-m", TINY, "--lengths", "20").stdout.decode())

    def test_quality(self):
        """Native f32 is the reference: equal to itself, near to int8 and to another run of the same cell."""
        cells, _ = self.matrix("-m", TINY, "-m", PTH, "--backends", "native", "--precisions", "f32,int8", "--thread-counts",
                               "1,2", "--quality", "--html", "page.html")
        self.assertEqual(len(cells), 8)
        for cell in cells:
            quality = cell["quality"]
            self.assertEqual(set(quality), {"lsd_db", "mcd_db", "snr_db", "equal"})
            self.assertEqual(quality["equal"], cell["precision"] == "f32")
            self.assertEqual(quality["lsd_db"] < 1e-6, quality["equal"])
            self.assertLess(quality["lsd_db"], 3)
        self.assertIn("Quality beside size", self.get("page.html").decode())
        self.check_plots(xml.etree.ElementTree.fromstring(self.get("page.html").decode().replace("<!DOCTYPE html>", "")))
        # A file with int8 alone still has the f32 voice beside it; what does not run has no quality.
        done = self.run_utter("bench", "-m", TINY, "-m", "missing", "--backends", "native", "--precision", "int8",
                              "--quality", *QUICK)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stdout.decode(), r"tiny native int8 +\d\.\d\d +\d\.\d\d +\d+\.\d\d\n")
        self.assertNotIn("quality", self.matrix("-m", TINY, "--backends", "native")[0][0])
        # The stand-in for ONNX Runtime speaks noise of another length.
        cells, _ = self.matrix("-m", TINY, "--onnxruntime", FAKE, "--quality")
        self.assertFalse(cells[1]["quality"]["equal"])
        self.assertEqual(self.files(), ["page.html"])

    def test_samples(self):
        answer = json.loads(self.ok("bench", "-m", TINY, "--ids", IDS, "--samples", "a.f32", "--json").stdout)
        self.assertAlmostEqual(len(self.get("a.f32")) / 4 / answer["sample_rate_hz"], answer["runs"][0]["audio_s"], places=2)
        self.fails(1, "no/a.f32 could not be written", "bench", "-m", TINY, "--ids", IDS, "--samples", "no/a.f32")
        self.fails(2, "one voice and one stream", "bench", "-m", TINY, "--samples", "a.f32", "--streams", "2")

    def test_html(self):
        """One page that stands alone: well formed, no script, nothing from elsewhere, names escaped."""
        name = "a<b>&\"c'\u00e9.onnx"
        for ending in "", ".json":
            os.symlink(TINY + ending, self.path(name + ending))
        os.symlink(TINY, self.path("<script>.onnx"))
        done = self.run_utter("bench", "-m", name, "-m", "<script>.onnx", "--backends", "native", "--precisions", "f32,int8",
                              "--html", "page.html", *QUICK)
        self.assertEqual(done.returncode, 1)
        page = self.get("page.html").decode()
        root = xml.etree.ElementTree.fromstring(page.replace("<!DOCTYPE html>", ""))
        tags = {e.tag for e in root.iter()}
        self.assertLessEqual(tags, {"html", "head", "meta", "title", "style", "body", "h1", "h2", "h3", "p", "section",
                                    "div", "table", "tr", "th", "td", "ul", "li", "b", "svg", "text", "line", "rect",
                                    "circle"})
        self.assertFalse([e for e in root.iter() if {"src", "href", "onload"} & set(e.attrib)])
        self.assertNotIn("url(", page)
        words = "\n".join(root.itertext())
        self.assertIn("a<b>&\"c'\u00e9 native int8", words)
        self.assertIn("<script> native f32", words)
        for title in "What to choose", "What does not run", "Speed beside the base", "RTF", "Memory", "Stages":
            self.assertIn(title, words)
        self.check_plots(root)

        class Strict(html.parser.HTMLParser):
            def error(self, message):
                raise AssertionError(message)
        Strict().feed(page)

    def check_plots(self, root):
        """Everything lies inside its plot, and labels do not lie on each other."""
        plots = [e for e in root.iter() if e.tag == "svg"]
        self.assertGreaterEqual(len(plots), 6)
        for plot in plots:
            width, height = map(float, plot.get("viewBox").split()[2:])
            places = []
            for e in plot:
                for key, most in ("x", width), ("x1", width), ("x2", width), ("y", height), ("y1", height), ("y2", height):
                    if e.get(key):
                        self.assertLessEqual(-0.1, float(e.get(key)))
                        self.assertLessEqual(float(e.get(key)), most + 0.1)
                if e.get("class") == "label":
                    places.append(float(e.get("y")))
            self.assertTrue(all(b - a >= 14 for a, b in zip(sorted(places), sorted(places)[1:])))

    def test_html_that_cannot_be_written(self):
        done = self.run_utter("bench", "-m", TINY, "--backends", "native", "--html", "no/page.html", *QUICK)
        self.assertEqual(done.returncode, 1)
        self.assertIn("no/page.html could not be written", done.stderr.decode())

    def test_names_that_are_no_text(self):
        """Bytes that are no UTF-8 in a name do not reach JSON, HTML or terminals."""
        name = os.path.join(os.fsencode(self.folder), b"bad\xff\x1bname.onnx")
        done = self.run_utter("bench", "-m", name, "--json", "--backends", "native", "--html", "page.html", *QUICK)
        cell = json.loads(done.stdout)["cells"][0]
        self.assertIn("bad??name", cell["cell"])
        self.assertIn("bad??name", cell["failure"])
        self.assertIn("bad??name", self.get("page.html").decode())

    def test_progress(self):
        """On a terminal, and nothing of it stays behind."""
        ours, theirs = os.openpty()
        with open(ours, "rb", buffering=0) as terminal:
            process = subprocess.Popen([UTTER, "bench", "-m", TINY, "--backends", "native", *QUICK, "--rounds", "2"],
                                       stdout=subprocess.PIPE, stderr=theirs, cwd=self.folder)
            out = process.communicate(timeout=120)[0]
            os.close(theirs)
            shown = b""
            try:
                while part := terminal.read(65536):
                    shown += part
            except OSError:  # no other end any more
                pass
        shown = shown.decode()
        self.assertEqual(process.returncode, 0)
        self.assertIn("round 1 of 2: tiny native auto", shown)
        self.assertRegex(shown, r"round 2 of 2, \d+:\d\d to go: tiny native auto")
        self.assertTrue(shown.endswith("\r" + 70 * " " + "\r"), shown[-100:])
        self.assertNotIn(b"round 1 of", out)

    def test_interrupt(self):
        """Ctrl-C at the program alone: its child, which would speak for minutes, ends with it."""
        for number in signal.SIGINT, signal.SIGTERM:
            process = subprocess.Popen([UTTER, "bench", "-m", TINY, "--backends", "native", "--runs", "1000",
                                        "--lengths", "400", "--cpu", "scalar"], cwd=self.folder,
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                       preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
            self.addCleanup(process.kill)
            children = f"/proc/{process.pid}/task/{process.pid}/children"
            child = self.first_child(process, children)
            process.send_signal(number)
            out, words = process.communicate(timeout=60)
            self.assertEqual((process.returncode, out), (128 + number, b""))
            self.assertIn("interrupted", words.decode())
            if child:
                self.assertFalse(os.path.exists(f"/proc/{child}"))

    def first_child(self, process, path):
        """Its id; None where the system does not tell, after a while."""
        if not os.path.exists(path):
            time.sleep(1)
            return None
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with open(path) as f:
                children = f.read().split()
            if children:
                return children[0]
            time.sleep(0.01)
        return self.fail("no child for a minute")


if __name__ == "__main__":
    main()
