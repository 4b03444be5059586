package com.example.tiny

import android.content.Context
import android.test.mock.MockContext
import com.google.ai.edge.litert.Accelerator.CPU
import com.google.ai.edge.litert.Accelerator.GPU
import com.google.ai.edge.litert.Accelerator.NPU
import com.google.ai.edge.litert.Stub
import java.io.File
import java.nio.ByteBuffer
import org.junit.After
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test

/** What a network runs on when an accelerator refuses it, and what is said of that. */
class FallbackTest {
    private val file = File("src/main/assets/tiny.tflite")
    private val model = ModelFile.OnDisk(file.path)
    private val input = ByteBuffer.allocateDirect(40 * 48 * 3)

    @After
    fun nothingStaysOpen() = assertEquals(0, Stub.open)

    private fun opened(device: Device, model: ModelFile = this.model): Pair<Device, String?> =
        Network.open(context, GroesseModel.NETWORK, model, device).use {
            assertEquals(GroesseModel.NETWORK.outputs.keys, it.run(input).keys)
            it.device to it.fallback
        }

    @Test
    fun theCpuIsNoFallback() = assertEquals(Device.CPU to null, opened(Device.CPU))

    @Test
    fun aGpuThatTakesAll() {
        Stub.refusal = { null }
        assertEquals(Device.GPU to null, opened(Device.GPU))
    }

    @Test
    fun aGpuThatTakesAPart() {
        Stub.refusal = { if (CPU in it) null else "Some ops are not accelerated." }
        assertEquals(Device.GPU to "in part on the CPU: Some ops are not accelerated.", opened(Device.GPU))
    }

    @Test
    fun aGpuThatIsNotThere() {
        Stub.refusal = { "no OpenCL" }
        assertEquals(Device.CPU to "no GPU: no OpenCL", opened(Device.GPU))
    }

    @Test
    fun aLibraryThatIsNotThere() {
        Stub.refusal = { throw UnsatisfiedLinkError("libLiteRt.so not found") }
        val (device, fallback) = opened(Device.GPU)
        assertEquals(Device.CPU, device)
        assertTrue(fallback!!.endsWith("libLiteRt.so not found"))
    }

    @Test
    fun anNpu() {
        Stub.refusal = { null }
        Stub.available = setOf(CPU, GPU)
        val (device, fallback) = opened(Device.NPU)
        assertEquals(Device.CPU, device)
        assertTrue(fallback!!.startsWith("no NPU: this device has no NPU that LiteRT knows"))
        Stub.available = setOf(CPU, NPU)
        assertEquals(Device.NPU to null, opened(Device.NPU))
    }

    @Test
    fun aNetworkInMemory() {
        val bytes = ByteBuffer.allocateDirect(8 + file.length().toInt())
        bytes.position(8)
        bytes.put(file.readBytes())
        bytes.position(8)
        assertEquals(Device.CPU to null, opened(Device.CPU, ModelFile.InMemory(bytes)))
        assertEquals(Device.CPU to "no GPU: LiteRT compiles files, not memory", opened(Device.GPU, ModelFile.InMemory(bytes)))
    }

    @Test
    fun aBufferOnTheHeap() {
        val bytes = ByteBuffer.wrap(file.readBytes())
        assertThrows(ModelException::class.java) { opened(Device.CPU, ModelFile.InMemory(bytes)) }
    }

    @Test
    fun anotherFile() {
        val changed = File.createTempFile("changed", ".tflite").apply { deleteOnExit() }
        changed.writeBytes(file.readBytes().also { it[it.size / 2]++ })
        val refused = assertThrows(ModelException::class.java) { opened(Device.GPU, ModelFile.OnDisk(changed.path)) }
        assertTrue(refused.message!!, refused.message!!.contains("this module is made for ${GroesseModel.NETWORK.sha256}"))
        assertThrows(ModelException::class.java) { opened(Device.CPU, ModelFile.OnDisk("missing.tflite")) }
    }

    @Test
    fun theSpecBesideTheFileIsTaken() {
        val expected = File("src/main/assets/tiny.spec.json").readText()
        assertEquals(expected, specOf(context, model, "tiny.spec.json").decodeToString())
    }

    private val context: Context = with(Class.forName("sun.misc.Unsafe")) { // Android's constructors here do nothing but throw
        val unsafe = getDeclaredField("theUnsafe").apply { isAccessible = true }.get(null)
        getMethod("allocateInstance", Class::class.java).invoke(unsafe, MockContext::class.java) as Context
    }
}
