/* The machine side of call.h. System V everywhere but where call.h says otherwise. */
	.intel_syntax noprefix
	.text

/* int wasm_enter(struct wasm_enter_frame *frame) */
	.globl wasm_enter
	.type wasm_enter, @function
	.p2align 4
wasm_enter:
	push rbp
	push rbx
	push r12
	push r13
	push r14
	push r15
	sub rsp, 8
	mov [rdi], rsp
	mov rbx, rdi
	xor ebp, ebp			/* backtraces end here */
	mov rcx, [rbx + 200]
	lea rax, [rcx * 8]
	sub rsp, rax
	mov rsi, [rbx + 192]
	mov rdi, rsp
	rep movsq
	movups xmm0, [rbx + 64]
	movups xmm1, [rbx + 80]
	movups xmm2, [rbx + 96]
	movups xmm3, [rbx + 112]
	movups xmm4, [rbx + 128]
	movups xmm5, [rbx + 144]
	movups xmm6, [rbx + 160]
	movups xmm7, [rbx + 176]
	mov rdi, [rbx + 16]
	mov rsi, [rbx + 24]
	mov rdx, [rbx + 32]
	mov rcx, [rbx + 40]
	mov r8, [rbx + 48]
	mov r9, [rbx + 56]
	call [rbx + 8]
	mov [rbx + 208], rax
	movups [rbx + 224], xmm0
	xor eax, eax
.Lleave:
	add rsp, 8
	pop r15
	pop r14
	pop r13
	pop r12
	pop rbx
	pop rbp
	ret
	.size wasm_enter, . - wasm_enter

/* void wasm_unwind(struct wasm_enter_frame *frame, uint64_t trap): makes wasm_enter(frame) return 1 */
	.globl wasm_unwind
	.type wasm_unwind, @function
	.p2align 4
wasm_unwind:
	mov [rdi + 216], rsi
	mov rsp, [rdi]
	mov eax, 1
	jmp .Lleave
	.size wasm_unwind, . - wasm_unwind

/* void wasm_resume(const void *pc, uint64_t rbp, uint64_t rsp) */
	.globl wasm_resume
	.type wasm_resume, @function
	.p2align 4
wasm_resume:
	mov rbp, rsi
	mov rsp, rdx
	jmp rdi
	.size wasm_resume, . - wasm_resume

/* What a host function's reference has for its entry: rdi is the struct wasm_funcref. */
	.globl wasm_host_entry
	.type wasm_host_entry, @function
	.p2align 4
wasm_host_entry:
	push rbp
	mov rbp, rsp
	sub rsp, 224
	mov [rsp], rdi
	mov [rsp + 8], rsi
	mov [rsp + 16], rdx
	mov [rsp + 24], rcx
	mov [rsp + 32], r8
	mov [rsp + 40], r9
	movups [rsp + 48], xmm0
	movups [rsp + 64], xmm1
	movups [rsp + 80], xmm2
	movups [rsp + 96], xmm3
	movups [rsp + 112], xmm4
	movups [rsp + 128], xmm5
	movups [rsp + 144], xmm6
	movups [rsp + 160], xmm7
	lea rax, [rbp + 16]
	mov [rsp + 176], rax
	mov [rsp + 208], r14
	mov rdi, rsp
	call wasm_host_dispatch
	mov rcx, rax			/* bytes of stack arguments to pop */
	mov rax, [rsp + 184]
	movups xmm0, [rsp + 192]
	leave
	pop rdx
	add rsp, rcx
	jmp rdx
	.size wasm_host_entry, . - wasm_host_entry

/* A function's first call: eax is its index, the arguments are in place. */
	.globl wasm_lazy_entry
	.type wasm_lazy_entry, @function
	.p2align 4
wasm_lazy_entry:
	push rbp
	mov rbp, rsp
	sub rsp, 176
	mov [rsp], rdi
	mov [rsp + 8], rsi
	mov [rsp + 16], rdx
	mov [rsp + 24], rcx
	mov [rsp + 32], r8
	mov [rsp + 40], r9
	movups [rsp + 48], xmm0
	movups [rsp + 64], xmm1
	movups [rsp + 80], xmm2
	movups [rsp + 96], xmm3
	movups [rsp + 112], xmm4
	movups [rsp + 128], xmm5
	movups [rsp + 144], xmm6
	movups [rsp + 160], xmm7
	mov esi, eax
	call wasm_lazy_compile
	mov rdi, [rsp]
	mov rsi, [rsp + 8]
	mov rdx, [rsp + 16]
	mov rcx, [rsp + 24]
	mov r8, [rsp + 32]
	mov r9, [rsp + 40]
	movups xmm0, [rsp + 48]
	movups xmm1, [rsp + 64]
	movups xmm2, [rsp + 80]
	movups xmm3, [rsp + 96]
	movups xmm4, [rsp + 112]
	movups xmm5, [rsp + 128]
	movups xmm6, [rsp + 144]
	movups xmm7, [rsp + 160]
	leave
	jmp rax
	.size wasm_lazy_entry, . - wasm_lazy_entry

	.section .note.GNU-stack, "", @progbits
