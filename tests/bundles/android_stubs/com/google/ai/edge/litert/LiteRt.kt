package com.google.ai.edge.litert

import android.content.Context
import android.content.res.AssetManager

/** What the tests of fallbacks set, and look at: nothing of it is in LiteRT. */
object Stub {
    /** Why accelerators do not take a network; null where they do. */
    var refusal: (Set<Accelerator>) -> String? = { null }
    var available = setOf(Accelerator.CPU)

    /** Handles that are not closed. */
    var open = 0
}

enum class Accelerator { NONE, CPU, GPU, NPU }

class LiteRtException(message: String) : Exception(message)

abstract class JniHandle internal constructor() : AutoCloseable {
    init {
        Stub.open++
    }

    final override fun close() {
        Stub.open--
    }
}

interface NpuAcceleratorProvider

class BuiltinNpuAcceleratorProvider(private val context: Context) : NpuAcceleratorProvider

class Environment private constructor() : JniHandle() {
    enum class Option { CompilerPluginLibraryDir, DispatchLibraryDir }

    fun getAvailableAccelerators(): Set<Accelerator> = Stub.available

    companion object {
        @JvmOverloads
        @JvmStatic
        fun create(options: Map<Option, String> = mapOf()): Environment = Environment()

        @JvmOverloads
        @JvmStatic
        fun create(npuAcceleratorProvider: NpuAcceleratorProvider, options: Map<Option, String> = mapOf()): Environment =
            Environment()
    }
}

class TensorBuffer internal constructor(private val size: Int) : JniHandle() {
    private var written = 0

    fun writeInt8(data: ByteArray) {
        written = data.size
    }

    fun readFloat(): FloatArray = FloatArray(size)
}

class CompiledModel private constructor() : JniHandle() {
    class Options(internal val accelerators: Set<Accelerator>) {
        constructor(vararg accelerators: Accelerator) : this(setOf(*accelerators))

        companion object {
            @JvmStatic
            val CPU = Options(Accelerator.CPU)
        }
    }

    fun createInputBuffer(inputName: String, signature: String = ""): TensorBuffer = TensorBuffer(0)

    fun createOutputBuffer(outputName: String, signature: String = ""): TensorBuffer = TensorBuffer(1)

    fun run(inputs: Map<String, TensorBuffer>, outputs: Map<String, TensorBuffer>, signature: String = "") {
        check(inputs.isNotEmpty() && outputs.isNotEmpty() && signature.isNotEmpty())
    }

    companion object {
        @JvmOverloads
        @JvmStatic
        fun create(
            assetManager: AssetManager, assetName: String, options: Options = Options.CPU, optionalEnv: Environment? = null,
        ): CompiledModel = create(assetName, options, optionalEnv)

        @JvmOverloads
        @JvmStatic
        fun create(filePath: String, options: Options = Options.CPU, optionalEnv: Environment? = null): CompiledModel {
            Stub.refusal(options.accelerators)?.let { throw LiteRtException(it) }
            return CompiledModel()
        }
    }
}
