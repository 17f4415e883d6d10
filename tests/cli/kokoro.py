"""Kokoro from the command line: voices and mixtures, languages, one file with all that belongs to it, and
messages for what is wrong with the model or its voices."""
import json
import os
import shutil

from program import KOKORO, TINY, DATA, ProgramTest, main, needs_espeak

PTH = f"{KOKORO}/kokoro-v1_0.pth"
GOLDEN = f"{KOKORO}/golden_tiny.safetensors"
IDS = "0,50,157,43,135,4,0"
TEXT = "Four cars are parked there. Good-bye!"


class KokoroTest(ProgramTest):
    def speak(self, *args, model=PTH, text=TEXT):
        self.ok("speak", "-m", model, "-o", "o.wav", "--no-fallback", *args, text)
        return self.samples("o.wav")


@needs_espeak
class Speak(KokoroTest):
    def test_every_way_to_name_the_model(self):
        self.same(self.speak(), self.speak(model=KOKORO))
        self.same(self.speak(), self.speak("-v", "af_synth"))
        self.same(self.speak("-v", "bm_synth"), self.speak("--speaker", "1"))

    def test_mixtures(self):
        mixed = self.speak("-v", "af_synth(0.7)+bm_synth(0.3)")
        self.same(mixed, self.speak("-v", "af_synth(7)+bm_synth(3)"))
        self.different(mixed, self.speak("-v", "af_synth"))

    def test_languages(self):
        self.same(self.speak("--lang", "b"), self.speak("--language", "en-gb"))
        self.different(self.speak("--lang", "b"), self.speak())
        self.same(self.speak("-v", "bm_synth"), self.speak("-v", "bm_synth", "--lang", "b"))

    def test_speed(self):
        self.assertGreater(len(self.speak("--speed", "0.5")), 2 * len(self.speak("--speed", "2")))

    def test_threads_do_not_change_the_sound(self):
        self.same(self.speak("--threads", "1"), self.speak("--threads", "3"))

    def test_report(self):
        answer = json.loads(self.ok("speak", "-m", PTH, "-v", "bm_synth", "-o", "o.wav", "--json", TEXT).stdout)
        self.assertEqual((answer["voice"], answer["sample_rate_hz"], answer["skipped_symbols"]),
                         ("kokoro-v1_0", 24000, 0))


class Commands(KokoroTest):
    def test_info(self):
        out = self.ok("info", KOKORO).stdout.decode()
        for words in "family       kokoro", "format       torch", "24000 Hz", "speakers     2":
            self.assertIn(words, out)
        self.assertNotIn("noise", out)
        self.assertGreater(len(json.loads(self.ok("info", "--json", "-t", KOKORO).stdout)["tensors"]), 300)

    def test_voices(self):
        self.assertEqual(self.ok("voices", KOKORO).stdout.decode().split(), ["0", "af_synth", "1", "bm_synth"])

    def test_ids(self):
        self.ok("speak", "-m", PTH, "--ids", IDS, "-o", "a.wav")
        self.assertEqual(len(self.samples("a.wav")) % 1200, 0)
        self.ok("bench", "-m", PTH, "--ids", IDS, "-v", "bm_synth", "--runs", "1")

    def test_trace(self):
        stages = json.loads(self.ok("trace", PTH, GOLDEN, "--json", "-o", "t.safetensors").stdout)
        self.assertTrue(all(s["snr_db"] > 10 for s in stages if s["compared"]))
        self.assertGreater(os.path.getsize(self.path("t.safetensors")), 1000)
        self.fails(1, "golden file of this model's family", "trace", PTH, f"{DATA}/piper/golden_tiny.safetensors")
        self.fails(1, "golden file of this model's family", "trace", TINY, GOLDEN)


class Import(KokoroTest):
    @needs_espeak
    def test_one_file_speaks_the_same(self):
        answer = json.loads(self.ok("import", PTH, "-o", "k.gguf", "--json").stdout)
        self.assertEqual((answer["family"], answer["type"], answer["voices"]), ("kokoro", "f32", 2))
        for args in [], ["-v", "bm_synth"], ["-v", "af_synth+bm_synth(2)", "--lang", "b", "--speed", "1.1"]:
            self.same(self.speak(*args), self.speak(*args, model="k.gguf"))
        self.assertIn("gguf", self.ok("info", "k.gguf").stdout.decode())
        stages = json.loads(self.ok("trace", "k.gguf", GOLDEN, "--json").stdout)
        self.assertEqual(stages, json.loads(self.ok("trace", PTH, GOLDEN, "--json").stdout))

    @needs_espeak
    def test_half(self):
        whole = len(self.speak())
        for name in "f16", "bf16":
            self.ok("import", PTH, "-o", name + ".gguf", "--type", name)
            self.assertLess(abs(len(self.speak(model=name + ".gguf")) - whole), 0.2 * whole)
            self.assertIn(f"weights      {name}", self.ok("info", name + ".gguf").stdout.decode())

    def test_voices(self):
        self.ok("import", PTH, "-o", "k.gguf", "--voices", "bm_*")
        self.assertEqual(self.ok("voices", "k.gguf").stdout.decode().split(), ["0", "bm_synth"])
        self.fails(1, ["no voice \"af_synth\"", "bm_synth"], "speak", "-m", "k.gguf", "-v", "af_synth",
                   "--ids", IDS, "-o", "a.wav", "--no-fallback")
        self.fails(1, "no voice fits 'zz*'", "import", PTH, "-o", "new.gguf", "--voices", "zz*")

    def test_own_input_is_not_overwritten(self):
        shutil.copytree(KOKORO, self.path("copy"))
        model = self.path("copy/kokoro-v1_0.pth")
        before = self.get("copy/kokoro-v1_0.pth")
        self.fails(1, "is the model itself", "import", model, "-o", model)
        self.same(before, self.get("copy/kokoro-v1_0.pth"))


class Wrong(KokoroTest):
    def wrong(self, words, *args, model=PTH):
        self.fails(1, words, "speak", "-m", model, "--ids", IDS, "-o", "a.wav", "--no-fallback", *args)

    def copy(self):
        shutil.copytree(KOKORO, self.path("copy"))
        return self.path("copy/kokoro-v1_0.pth")

    def change_config(self, **keys):
        config = json.loads(self.get("copy/config.json"))
        config.update(keys)
        self.put("copy/config.json", json.dumps(config).encode())

    def test_voices(self):
        self.wrong(["af_sinth", 'did you mean "af_synth"'], "-v", "af_sinth")
        self.wrong("byte 9", "-v", "af_synth(")
        self.wrong("add up", "-v", "af_synth-af_synth")
        self.wrong("voice", "-v", "")

    @needs_espeak
    def test_language(self):
        self.fails(1, ["no language 'xx'", "a en-us, b en-gb"], "speak", "-m", PTH, "--lang", "xx", "Hi.",
                   "-o", "a.wav")

    def test_configuration_missing(self):
        model = self.copy()
        os.remove(self.path("copy/config.json"))
        self.wrong(["kokoro-v1_0.pth", "config.json is missing"], model=model)
        self.fails(1, "config.json is missing", "import", model, "-o", "new.gguf")

    def test_configuration_contradicts(self):
        model = self.copy()
        self.change_config(style_dim=48)
        self.wrong(["kokoro-v1_0.pth", "style_dim", "48"], model=model)
        self.change_config(style_dim=32, n_token=300)
        self.wrong(["kokoro-v1_0.pth", "n_token"], model=model)

    def test_no_voices(self):
        model = self.copy()
        shutil.rmtree(self.path("copy/voices"))
        self.wrong("voices", model=model)

    def test_damaged(self):
        model = self.copy()
        self.put("copy/kokoro-v1_0.pth", self.get("copy/kokoro-v1_0.pth")[:100000])
        self.wrong("kokoro-v1_0.pth", model=model)

    def test_several_models_in_a_folder(self):
        self.copy()
        self.ok("import", PTH, "-o", "copy/k.gguf")
        self.wrong("2 voices in this folder", model=self.path("copy"))

    @needs_espeak
    def test_a_stand_in_speaks_the_language(self):
        self.put("broken.pth", b"PK\3\4 and no more")
        def speak(*args):
            self.ok("speak", "-m", "broken.pth", "-o", "o.wav", *args, TEXT)
            return len(self.samples("o.wav"))
        british, french, american = speak("-v", "bf_emma"), speak("-v", "ff_siwis"), speak("-v", "af_sky")
        self.assertEqual(len({british, french, american}), 3)
        self.assertEqual(speak("-v", "af_sky", "--lang", "b"), british)
        self.assertEqual(speak("--lang", "fr-fr"), french)
        self.assertEqual(speak("-v", "whoever"), american)


if __name__ == "__main__":
    main()
