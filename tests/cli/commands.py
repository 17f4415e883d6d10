"""The commands beside speak: help, info, voices, backends, trace, bench (config: config.py)."""
import json
import re
import tempfile

from program import DATA, HOUSE, IDS, MULTI, TINY, ProgramTest, main

COMMANDS = ["speak", "info", "voices", "backends", "import", "trace", "bench", "config", "tune"]


class Help(ProgramTest):
    def test_overview(self):
        for args in [], ["help"], ["--help"], ["-h"]:
            out = self.ok(*args).stdout.decode()
            self.assertIn('utter speak "Hello there." -o hello.wav', out)
            for command in COMMANDS:
                self.assertIn("\n  " + command, out)

    def test_commands(self):
        for command in COMMANDS:
            text = self.ok("help", command).stdout.decode()
            self.assertIn("Usage: utter " + command, text)
            self.assertIn("--threads N", text)
            for line in text.split("\n"):
                self.assertLessEqual(len(line), 80, line)
                self.assertEqual(line, line.rstrip())
            rows = re.findall(r"^ {2,6}-[-\w].*?(?: {2,}|\n {29})\S", text, re.M)
            self.assertEqual({len(row.split("\n")[-1]) for row in rows}, {30}) # one column
            self.assertEqual(self.ok(command, "--help").stdout.decode(), text)
            self.assertEqual(self.ok(command, "-h").stdout.decode(), text)

    def test_version(self):
        for args in ["--version"], ["-V"]:
            self.assertRegex(self.ok(*args).stdout.decode(), r"^utter \d+\.\d+\.\d+\n$")


class Info(ProgramTest):
    def test_text(self):
        out = self.ok("info", TINY).stdout.decode()
        for words in "tiny", "piper", "onnx", "22050 Hz", "f32":
            self.assertIn(words, out)
        self.assertEqual(self.ok("info", "-m", TINY).stdout.decode(), out)

    def test_tensors(self):
        out = self.ok("info", "-t", TINY).stdout.decode()
        self.assertRegex(out, r"tensors +\d{3}\n")
        self.assertRegex(out, r"dec\.conv_pre\.weight +f32 +32 x 24 x 7\n")

    def test_json(self):
        short, full = (json.loads(self.ok("info", "--json", *args, TINY).stdout) for args in ([], ["-t"]))
        self.assertNotIn("tensors", short)
        self.assertGreater(len(full["tensors"]), 100)
        self.assertEqual(set(full["tensors"][0]) & {"name", "type", "shape"}, {"name", "type", "shape"})

    def test_house_voice(self):
        self.assertIn("safetensors", self.ok("info", HOUSE).stdout.decode())


class Voices(ProgramTest):
    def test_text(self):
        self.assertEqual(self.ok("voices", "-m", MULTI).stdout.decode().split(),
                         ["0", "spk0", "1", "spk1", "2", "spk2"])
        self.assertEqual(self.ok("voices", MULTI).stdout, self.ok("voices", "-m", MULTI).stdout)

    def test_json(self):
        answer = json.loads(self.ok("voices", "-m", MULTI, "--json").stdout)
        self.assertEqual(answer["speakers"][1], {"index": 1, "name": "spk1"})
        self.assertEqual(len(answer["speakers"]), 3)


class Tune(ProgramTest):
    def test_file(self):
        with tempfile.TemporaryDirectory() as folder:
            env = {"XDG_CACHE_HOME": folder + "/new"}
            path = folder + "/new/utter/tuning.json"
            report = json.loads(self.ok("tune", "--json", "--threads", "1", env=env).stdout)
            self.assertEqual(report["output"], path)
            with open(path) as file:
                written = json.load(file)
            self.assertEqual(written["cpu"], report["cpu"])
            self.assertEqual([layer["scheme"] for layer in written["layers"]],
                             [layer["scheme"] for layer in report["layers"]])
            self.assertEqual(self.ok("backends", env=env).stderr, b"")
            before = {(layer["in"], layer["out"], layer["taps"]) for layer in written["layers"]}
            report = json.loads(self.ok("tune", "--json", "--threads", "1", TINY, env=env).stdout)
            own = {(layer["in"], layer["out"], layer["taps"]) for layer in report["layers"]}
            with open(path) as file:
                after = {(layer["in"], layer["out"], layer["taps"]) for layer in json.load(file)["layers"]}
            self.assertIn((24, 32, 7), own)
            self.assertNotIn((24, 32, 7), before)
            self.assertEqual(after, before | own)
            self.fails(2, ["takes one voice"], "tune", TINY, TINY, env=env)
            self.fails(1, ["no.onnx"], "tune", "no.onnx", env=env)
            with open(path, "w") as file:
                file.write("{")
            self.assertIn(b"is not used", self.ok("backends", env=env).stderr)
            self.assertEqual(self.ok("backends", "--exact", env=env).stderr, b"")


class Backends(ProgramTest):
    def test_text(self):
        out = self.ok("backends").stdout.decode()
        self.assertIn("native", out)
        self.assertNotIn(" loaded", out)
        self.assertRegex(self.ok("backends", "-m", TINY).stdout.decode(), r"native .* loaded")

    def test_json(self):
        report = json.loads(self.ok("backends", "--json", "-m", TINY).stdout)
        native = next(b for b in report if b["type"] == "native")
        self.assertTrue(native["loaded"])
        self.assertGreater(native["memory"]["model"], 0)

    def test_threads(self):
        report = json.loads(self.ok("backends", "--json", "--threads", "2").stdout)
        self.assertEqual(next(b for b in report if b["type"] == "native")["threads"], 2)


class Trace(ProgramTest):
    GOLDEN = f"{DATA}/piper/golden_tiny.safetensors"

    def test_text(self):
        out = self.ok("trace", TINY, self.GOLDEN).stdout.decode()
        self.assertRegex(out, r"\S+\.\S+ +[\dx]+ +max error [\d.e+-]+ +SNR +[\d.]+ dB")

    def test_json_and_output(self):
        stages = json.loads(self.ok("trace", TINY, self.GOLDEN, "--json", "-o", "t.safetensors").stdout)
        compared = [s for s in stages if s["compared"]]
        self.assertGreater(len(compared), 3)
        self.assertTrue(all(s["snr_db"] > 40 for s in compared), compared)
        self.assertGreater(len(self.get("t.safetensors")), 1000)

    def test_case(self):
        stages = json.loads(self.ok("trace", TINY, self.GOLDEN, "--json").stdout)
        case = stages[0]["stage"].split(".")[0]
        some = json.loads(self.ok("trace", TINY, self.GOLDEN, "--json", "--case", case).stdout)
        self.assertEqual({s["stage"].split(".")[0] for s in some}, {case})
        self.fails(1, "no_such_case", "trace", TINY, self.GOLDEN, "--case", "no_such_case")


class Bench(ProgramTest):
    def test_json(self):
        answer = json.loads(self.ok("bench", "-m", TINY, "--ids", IDS, "--threads", "1", "--runs", "2",
                                    "--scales", "0.667,1,0", "--json").stdout)
        self.assertEqual(len(answer["runs"]), 2)
        self.assertEqual(answer["threads"], 1)
        self.assertGreaterEqual(answer["load_s"], 0)
        for run in answer["runs"]:
            self.assertEqual(set(run), {"wall_s", "cpu_s", "audio_s", "first_audio_s", "peak_rss_mb"})
            self.assertGreater(run["wall_s"], 0)
            self.assertGreater(run["peak_rss_mb"], 1)
        self.assertEqual(answer["runs"][0]["audio_s"], answer["runs"][1]["audio_s"])

    def test_scales(self):
        def seconds(length):
            args = ["bench", "-m", TINY, "--ids", IDS, "--runs", "1", "--scales", f"0,{length},0", "--json"]
            return json.loads(self.ok(*args).stdout)["runs"][0]["audio_s"]
        self.assertGreater(seconds(2), 1.5 * seconds(1))
        self.fails(1, "speed", "bench", "-m", TINY, "--ids", IDS, "--scales", "0,0,0")

    def test_table(self):
        out = self.ok("bench", "-m", TINY, "--ids", IDS).stdout.decode()
        self.assertIn("RTF", out)
        self.assertEqual(len(out.strip().split("\n")), 5)


if __name__ == "__main__":
    main()
