package io.plumline.internal;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.plumline.Pick;
import io.plumline.PlumClient;
import io.plumline.Servers;
import java.lang.ref.Reference;
import java.util.Arrays;
import java.util.Objects;
import org.junit.jupiter.api.Test;

class NativeServiceTest {
    private static long inFlight(PlumClient plum) {
        return plum.stats()
                .services()
                .get("s")
                .endpoints()
                .get("10.0.0.1:1")
                .inFlight();
    }

    /** The reference of a settled pick is enqueued late, when a newer pick has its slot. */
    @Test
    void lateReferenceDoesNotFreeTheSlotOfANewerPick() throws Exception {
        try (PlumClient plum = PlumClient.create("static://10.0.0.1:1")) {
            NativeService service = (NativeService) plum.service("s");
            Pick first = service.pick();
            Reference<?> late = Arrays.stream(service.openPicks)
                    .flatMap(Arrays::stream)
                    .filter(Objects::nonNull)
                    .findFirst()
                    .orElseThrow();
            first.success();
            service.pick(); // dropped without a report, in the same slot
            late.enqueue();
            Pick third = service.pick(); // handles the late reference
            Servers.until("the second pick is freed", () -> {
                System.gc();
                service.pick().success();
                return inFlight(plum) == 1;
            });
            third.success();
            assertEquals(1, plum.stats().services().get("s").unreported());
        }
    }
}
