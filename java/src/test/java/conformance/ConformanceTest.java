package conformance;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.BufferedReader;
import java.io.BufferedWriter;
import java.io.InputStreamReader;
import java.io.OutputStreamWriter;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import tools.jackson.databind.ObjectMapper;

/**
 * Runs the scenarios of tests/conformance: starts the test bed and runs the operations that it requests.
 * `-Dconformance=retry` runs one topic or name.
 */
class ConformanceTest {
    @Tag("scenarios")
    @Test
    void passesTheScenariosOfEveryLanguage() throws Exception {
        String bed = System.getenv("PLUMLINE_TESTBED");
        List<String> command = new ArrayList<>();
        command.add(bed == null ? System.getProperty("plumline.target") + "/debug/plumline-testbed" : bed);
        command.add("java");
        if (System.getProperty("conformance") != null) {
            command.add(System.getProperty("conformance"));
        }
        Process process = new ProcessBuilder(command)
                .redirectError(ProcessBuilder.Redirect.INHERIT)
                .start();
        ObjectMapper json = new ObjectMapper();
        try (BufferedReader operations = new BufferedReader(new InputStreamReader(process.getInputStream(), UTF_8));
                BufferedWriter answers = new BufferedWriter(new OutputStreamWriter(process.getOutputStream(), UTF_8))) {
            Runner runner = new Runner(json);
            for (String line = operations.readLine(); line != null; line = operations.readLine()) {
                answers.write(
                        json.writeValueAsString(runner.respond(new Operation(json.readValue(line, Object.class)))));
                answers.write('\n');
                answers.flush();
            }
        } finally {
            assertEquals(0, process.waitFor(), "the failures are listed above");
        }
    }
}
